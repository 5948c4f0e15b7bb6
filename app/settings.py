"""All settings, limits and defaults. The only module that reads the environment."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DevicePreference = Literal["auto", "cpu", "cuda"]
EnginePreference = Literal["auto", "torch", "openvino"]
PrecisionPreference = Literal["auto", "float32", "bfloat16", "float16"]
LogFormat = Literal["json", "console"]

MIB = 1024 * 1024

_PREFIX = "MEDPATCHNET_"
_OF_KUBERNETES = re.compile(r"(^|_)(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))")


class Settings(BaseSettings):
    """Settings of one service process, each from ``MEDPATCHNET_<NAME>``. Sizes are in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*/?$",
        description="Path prefix of a reverse proxy that removes it from requests (`/chest-ai`); empty: none.",
    )
    cors_origins: str = Field(
        default="",
        description="Origins of web applications that can call the service from a browser (OHIF), separated by commas; "
        "`*` for all; empty: none.",
    )
    model: str = Field(
        default="chest-lite0",
        min_length=1,
        description="Artifacts to serve: names in the models folder or directories, separated by commas; "
        "the first is the default.",
    )
    models_dir: Path = Field(
        default=Path(__file__).resolve().parent.parent / "models", description="Folder that holds the artifacts."
    )
    model_sha256: str = Field(
        default="",
        description="SHA-256 of the weights that may be served, separated by commas. Startup fails on any other hash. "
        "Empty: any weights that match their manifest.",
    )
    shadow_model: str = Field(
        default="",
        description="Artifact that analyses the same radiographs as the default model for comparison (`GET /shadow`); "
        "its results are not served. Empty: none.",
    )
    shadow_queue: int = Field(
        default=4, ge=1, description="Maximum number of radiographs that wait for the shadow model; more are dropped."
    )
    operating_point: str = Field(
        default="",
        description="Operating point of all findings (`balanced`, `sensitive`, `specific`); empty: the default of the "
        "model. Startup fails if a model has no such point.",
    )
    operating_points_file: Path | None = Field(
        default=None,
        description="YAML file of the site: by finding, the name of an operating point or its own threshold "
        "(`Edema: {threshold: 0.31, name: local}`). A finding in it is decided even if it is not validated.",
    )
    segmenter: str = Field(
        default="chest-anatomy",
        description="Artifact that finds lungs and heart for zones: a name in the models folder or a directory. Loaded "
        "when zones are first requested.",
    )
    device: DevicePreference = Field(
        default="auto", description="Device of the model: auto selects CUDA if a CUDA device is available."
    )
    engine: EnginePreference = Field(
        default="auto",
        description="Inference engine: auto selects OpenVINO on the CPU and torch with CUDA graphs on CUDA, and plain "
        "torch where these do not work.",
    )
    precision: PrecisionPreference = Field(
        default="auto",
        description="Arithmetic of the model: auto is float32; bfloat16 and float16 only if the manifest allows them.",
    )
    cache_dir: Path = Field(
        default=Path("~/.cache/medpatchnet"),
        description="Folder for models converted to OpenVINO, written at the first start. If it is not writable, "
        "every start converts them again.",
    )
    inference_threads: int = Field(
        default=0,
        ge=0,
        description="CPU threads of the model; 0: one for each core that CPU affinity and the quota of the container "
        "(control group) allow.",
    )

    max_body_bytes: int = Field(default=64 * MIB, ge=1024, description="Largest request body.")
    max_json_bytes: int = Field(default=4 * MIB, ge=1024, description="Largest JSON body (/whatif).")
    max_pixels: int = Field(default=64_000_000, ge=1, description="Largest image, rows × columns.")
    max_inflated_bytes: int = Field(
        default=256 * MIB, ge=1024, description="Largest inflated size of a deflated DICOM data set."
    )
    chest_body_parts: str = Field(
        default="",
        description="Texts of Body Part Examined that name the chest at this site, besides the known ones, separated "
        "by commas.",
    )
    max_in_flight: int = Field(
        default=64, ge=1, description="Maximum number of image requests in progress; more are rejected with 503."
    )
    max_wait_s: float = Field(
        default=5.0,
        gt=0,
        description="Maximum estimated queueing time of an image request; longer is rejected with 503.",
    )
    max_concurrent_maps: int = Field(
        default=2,
        ge=1,
        description="Maximum number of shift-averaged maps computed at once; more are rejected with 503.",
    )
    max_map_passes: int = Field(
        default=256, ge=1, description="Maximum number of model passes for one map, (patch size / offset)²."
    )
    max_header_bytes: int = Field(
        default=16 * 1024, ge=1024, description="Largest request head (request line and headers)."
    )

    head_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Time limit for a connection to send a complete request head; then it is closed.",
    )
    keep_alive_s: int = Field(
        default=75,
        ge=1,
        description="How long an idle connection is kept open. Set it longer than the clients' own limit, or "
        "they can hit a connection that was just closed.",
    )

    decode_workers: int = Field(default=2, ge=1, description="Number of processes that decode images.")
    decode_timeout_s: float = Field(
        default=10.0, gt=0, description="Time limit for decoding one image; then the worker is replaced."
    )
    decode_memory_bytes: int = Field(default=2048 * MIB, ge=256 * MIB, description="Memory limit of one decode worker.")

    batch_patches: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of patches in one model call; `None`: one image on a CPU, 8 images on CUDA.",
    )
    batch_wait_s: float = Field(
        default=0.002,
        ge=0,
        description="Batching window: how long an idle model waits for more requests to share a batch.",
    )
    queue_patches: int = Field(
        default=4096, ge=1, description="Maximum number of patches queued for the model; more are rejected with 503."
    )

    request_timeout_s: float = Field(
        default=30.0, gt=0, description="Deadline of a request; later than this, the response is 504."
    )
    map_timeout_s: float = Field(default=300.0, gt=0, description="Deadline of a request for a shift-averaged map.")
    drain_delay_s: float = Field(
        default=0.0,
        ge=0,
        description="After SIGTERM: how long the service reports unready but still accepts connections.",
    )
    drain_timeout_s: float = Field(
        default=60.0, gt=0, description="After SIGTERM: time limit for finishing accepted requests."
    )

    api_keys_file: Path | None = Field(
        default=None, description="JSON file of API keys (`medpatchnet keys new`); reloaded when it changes."
    )
    api_keys_use_file: Path | None = Field(
        default=None,
        description="File that gets the time of last use of each key, for `medpatchnet keys list`; default: beside the "
        "key file, with `.used` after its name.",
    )
    oidc_issuer: str = Field(
        default="", description="Issuer of accepted OIDC tokens; empty: OIDC tokens are not accepted."
    )
    oidc_audience: str = Field(default="", description="Audience that OIDC tokens must be issued for.")
    oidc_jwks_url: str = Field(default="", description="URL of the issuer's public keys (https).")
    oidc_scope_claim: str = Field(
        default="scope", description="Token claim with the scopes: space-separated text or a list."
    )
    oidc_leeway_s: float = Field(default=30.0, ge=0, le=300, description="Clock difference tolerated in OIDC tokens.")
    rate_per_s: float = Field(
        default=0.0, ge=0, description="Average requests per second allowed for one client; 0: no limit."
    )
    rate_burst: int = Field(default=50, ge=1, description="Requests that one client can send at once.")
    audit_file: Path | None = Field(
        default=None, description="Audit log to append to. A request is answered only after its line is on disk."
    )
    admin_host: str = Field(default="127.0.0.1", description="Address of the admin port.")
    admin_port: int = Field(
        default=8001,
        ge=0,
        le=65535,
        description="Port that serves /livez, /readyz, /health, /metrics and /shadow without credentials, if "
        "authentication is on; 0 picks a free one.",
    )

    pacs_file: Path | None = Field(
        default=None, description="YAML file of the PACS integration: listener, archives, routing rules (docs/PACS.md)."
    )

    database_url: str = Field(
        default="sqlite:///~/.local/state/medpatchnet/pacs.sqlite",
        repr=False,
        description="Database of received instances, undelivered results and jobs; used only with a `PACS_FILE`. "
        "`postgresql+psycopg://…` for several replicas.",
    )
    max_spool_bytes: int = Field(
        default=4096 * MIB,
        ge=1024,
        description="Maximum size of stored instances and results; beyond it, no more are accepted.",
    )
    spool_reserve_bytes: int = Field(
        default=256 * MIB,
        ge=0,
        description="Free disk space to keep. With less, no new work is accepted, so that accepted work can finish.",
    )
    pacs_workers: int = Field(default=4, ge=1, description="Number of instances from the PACS analysed at once.")
    retry_first_s: float = Field(
        default=1.0,
        gt=0,
        description="Delay after the first failed attempt to deliver an object, analyse an instance or query a study; "
        "it doubles with each further one. Half of each delay is random.",
    )
    retry_longest_s: float = Field(default=300.0, gt=0, description="Longest delay between two such attempts.")
    retry_node_longest_s: float = Field(
        default=30.0,
        gt=0,
        description="Longest pause of a node that does not answer: while objects wait for it, it is tried that often.",
    )
    retry_give_up_s: float = Field(
        default=259200.0,
        gt=0,
        description="How long failing work is retried; after that, it becomes a dead letter for the operator.",
    )
    retention_s: float = Field(
        default=604800.0,
        ge=0,
        description="How long finished jobs and deliveries are kept in the database, without image data.",
    )

    recent_results: int = Field(
        default=256, ge=0, description="Number of recent results kept for /whatif (patch logits only)."
    )
    overlay_opacity: float = Field(default=0.4, ge=0, le=1, description="Opacity of overlays if the request has none.")

    otlp_endpoint: str = Field(
        default="",
        description="OTLP/HTTP endpoint for traces (`http://collector:4318/v1/traces`); empty: no traces are sent. "
        "Needs the `tracing` extra.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log level."
    )
    log_format: LogFormat = Field(default="json", description="Log lines as JSON or for a console.")

    @property
    def pinned_weights(self) -> frozenset[str]:
        """SHA-256 of the weights that can be served; empty: any."""
        return frozenset(part.strip().lower() for part in self.model_sha256.split(",") if part.strip())

    @property
    def allowed_origins(self) -> list[str]:
        """Origins that can call the service from a browser."""
        return [origin.strip().rstrip("/") for origin in self.cors_origins.split(",") if origin.strip()]

    @property
    def exports_dir(self) -> Path | None:
        """``cache_dir`` with ``~`` expanded; None if the user has no home folder."""
        try:
            return self.cache_dir.expanduser()
        except RuntimeError:
            return None

    @property
    def has_authentication(self) -> bool:
        """Whether requests need credentials."""
        return self.api_keys_file is not None or bool(self.oidc_issuer)

    @property
    def key_use_path(self) -> Path | None:
        """The file of last uses; None without a key file."""
        if self.api_keys_file is None:
            return None
        return self.api_keys_use_file or self.api_keys_file.with_name(f"{self.api_keys_file.name}.used")

    @property
    def chest_body_part_texts(self) -> tuple[str, ...]:
        """The texts of ``chest_body_parts``."""
        return tuple(text for text in map(str.strip, self.chest_body_parts.split(",")) if text)

    @property
    def model_names(self) -> list[str]:
        """The artifacts to serve, the default one first."""
        return [name.strip() for name in self.model.split(",") if name.strip()]


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """A line for each variable that starts like a setting and is not one, with the most similar setting."""
    given = {name: name.upper().removeprefix(_PREFIX) for name in environment if name.upper().startswith(_PREFIX)}
    known = {name.upper() for name in Settings.model_fields}
    return [f"{name}: not a setting{_hint(rest, known)}" for name, rest in sorted(given.items()) if rest not in known]


def _hint(name: str, known: set[str]) -> str:
    if _OF_KUBERNETES.search(name):
        return "; Kubernetes sets it for a Service of this name: set enableServiceLinks: false"
    similar = get_close_matches(name, known, n=1)
    return f"; did you mean {_PREFIX}{similar[0]}?" if similar else "; all settings: docs/SETTINGS.md"
