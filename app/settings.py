"""All settings, limits and defaults. The sole reader of the environment; built once, in the composition root."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DevicePreference = Literal["auto", "cpu", "cuda"]
EnginePreference = Literal["auto", "torch", "openvino"]
PrecisionPreference = Literal["auto", "float32", "bfloat16", "float16"]
LogFormat = Literal["json", "console"]

MIB = 1024 * 1024


class Settings(BaseSettings):
    """Settings of one service process, each from ``MEDPATCHNET_<NAME>``. Sizes are in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="MEDPATCHNET_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
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
        description="SHA-256 of the weights that may be served, separated by commas; any other end the start. "
        "Empty: what each manifest says.",
    )
    device: DevicePreference = Field(
        default="auto", description="Where the network runs: auto takes CUDA where there is one."
    )
    engine: EnginePreference = Field(
        default="auto", description="What runs the network: auto takes OpenVINO on the CPU and torch on CUDA."
    )
    precision: PrecisionPreference = Field(
        default="auto",
        description="Arithmetic of the network: auto is float32; bfloat16 and float16 only where the model's manifest "
        "allows them.",
    )
    cache_dir: Path = Field(
        default=Path("~/.cache/medpatchnet"),
        description="Folder for networks in OpenVINO's form, made at the first start. Where it cannot be written, "
        "every start makes them again.",
    )
    inference_threads: int = Field(default=0, ge=0, description="Threads of the network on the CPU; 0 takes all cores.")

    max_body_bytes: int = Field(default=64 * MIB, ge=1024, description="Largest request body.")
    max_json_bytes: int = Field(default=4 * MIB, ge=1024, description="Largest JSON body (/whatif).")
    max_pixels: int = Field(default=64_000_000, ge=1, description="Largest image, rows × columns.")
    max_inflated_bytes: int = Field(
        default=256 * MIB, ge=1024, description="Largest deflated DICOM data set once inflated."
    )
    chest_body_parts: str = Field(
        default="",
        description="Texts of Body Part Examined that name the chest at this site, besides the known ones, separated "
        "by commas.",
    )
    max_in_flight: int = Field(
        default=64, ge=1, description="Image requests worked on at once; more are refused with 503."
    )
    max_wait_s: float = Field(
        default=5.0,
        gt=0,
        description="Longest expected wait for the images before it, by their pace; who would wait longer gets a 503.",
    )
    max_concurrent_maps: int = Field(
        default=2, ge=1, description="Shift-averaged maps computed at once; more are refused."
    )
    max_map_passes: int = Field(
        default=256, ge=1, description="Most network passes of one map, (patch size / offset)²."
    )
    max_header_bytes: int = Field(default=16 * 1024, ge=1024, description="Largest request head (line and headers).")

    head_timeout_s: float = Field(
        default=10.0, gt=0, description="How long a connection may take to send a request head; then it is closed."
    )
    keep_alive_s: int = Field(
        default=75,
        ge=1,
        description="How long an idle connection is kept. Keep it longer than clients do, or they meet a closed one.",
    )

    decode_workers: int = Field(default=2, ge=1, description="Processes that decode images.")
    decode_timeout_s: float = Field(
        default=10.0, gt=0, description="Longest decode of one image; then the worker is replaced."
    )
    decode_memory_bytes: int = Field(
        default=2048 * MIB, ge=256 * MIB, description="Memory one decode worker may take for an image."
    )

    batch_patches: int | None = Field(
        default=None, ge=1, description="Most patches in one network call; `None`: of one image on a CPU, of 8 on CUDA."
    )
    batch_wait_s: float = Field(
        default=0.002, ge=0, description="How long an idle network waits for company for a request."
    )
    queue_patches: int = Field(
        default=4096, ge=1, description="Most patches waiting for the network; more are refused."
    )

    request_timeout_s: float = Field(
        default=30.0, gt=0, description="Deadline of a request; then it is answered with 504."
    )
    map_timeout_s: float = Field(default=300.0, gt=0, description="Deadline of a request for a shift-averaged map.")
    drain_delay_s: float = Field(
        default=0.0, ge=0, description="After SIGTERM: time unready but serving, before draining."
    )
    drain_timeout_s: float = Field(default=60.0, gt=0, description="After SIGTERM: longest wait for accepted requests.")

    api_keys_file: Path | None = Field(
        default=None, description="JSON file of API keys (`medpatchnet keys new`); read again when it changes."
    )
    oidc_issuer: str = Field(default="", description="Issuer of accepted OIDC tokens; empty accepts none.")
    oidc_audience: str = Field(default="", description="Audience that OIDC tokens must be made out for.")
    oidc_jwks_url: str = Field(default="", description="Where the issuer's public keys are (https).")
    oidc_scope_claim: str = Field(default="scope", description="Claim that holds the scopes: words or a list.")
    oidc_leeway_s: float = Field(default=30.0, ge=0, le=300, description="Clock difference tolerated in OIDC tokens.")
    rate_per_s: float = Field(
        default=0.0, ge=0, description="Requests a second that one client may send on average; 0 is no limit."
    )
    rate_burst: int = Field(default=50, ge=1, description="Requests that one client may send at once.")
    audit_file: Path | None = Field(
        default=None, description="Audit log to append to; a request whose line cannot be written is not answered."
    )
    admin_host: str = Field(default="127.0.0.1", description="Address of the admin port.")
    admin_port: int = Field(
        default=8001,
        ge=0,
        le=65535,
        description="Port of /livez, /readyz, /health and /metrics without credentials, where authentication is on; "
        "0 picks a free one.",
    )

    pacs_file: Path | None = Field(
        default=None, description="YAML file of the radiology network: listener, archives, routes (docs/PACS.md)."
    )

    database_url: str = Field(
        default="sqlite:///~/.local/state/medpatchnet/pacs.sqlite",
        repr=False,
        description="Database of accepted films, owed results and jobs, where there is a `PACS_FILE`; "
        "`postgresql+psycopg://…` for several replicas.",
    )
    max_spool_bytes: int = Field(
        default=4096 * MIB, ge=1024, description="Most bytes of films and results kept; then no more are accepted."
    )
    spool_reserve_bytes: int = Field(
        default=256 * MIB,
        ge=0,
        description="Disk that stays free: with less, no more is accepted, and what was can be finished.",
    )
    pacs_workers: int = Field(default=4, ge=1, description="Films of the radiology network analysed at once.")
    retry_longest_s: float = Field(default=300.0, gt=0, description="Longest pause between two tries.")
    retry_give_up_s: float = Field(
        default=259200.0, gt=0, description="How long to try; then a dead letter waits for an operator."
    )
    retention_s: float = Field(
        default=604800.0, ge=0, description="How long finished jobs and deliveries are remembered, without their bytes."
    )

    recent_results: int = Field(default=256, ge=0, description="Results remembered for /whatif (patch logits only).")
    overlay_opacity: float = Field(
        default=0.4, ge=0, le=1, description="Opacity of overlays where the request names none."
    )

    otlp_endpoint: str = Field(
        default="",
        description="Where traces go, by OTLP over HTTP (`http://collector:4318/v1/traces`); empty sends none. "
        "Needs the `tracing` extra.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log level."
    )
    log_format: LogFormat = Field(default="json", description="Log lines as JSON or for a console.")

    @property
    def pinned_weights(self) -> frozenset[str]:
        """The weights that may be served; empty where any may."""
        return frozenset(part.strip().lower() for part in self.model_sha256.split(",") if part.strip())

    @property
    def exports_dir(self) -> Path | None:
        """``cache_dir`` with the home folder in place; None where the user has none."""
        try:
            return self.cache_dir.expanduser()
        except RuntimeError:
            return None

    @property
    def has_authentication(self) -> bool:
        """Whether callers must show who they are."""
        return self.api_keys_file is not None or bool(self.oidc_issuer)

    @property
    def chest_body_part_texts(self) -> tuple[str, ...]:
        """The texts of ``chest_body_parts``."""
        return tuple(text for text in map(str.strip, self.chest_body_parts.split(",")) if text)

    @property
    def model_names(self) -> list[str]:
        """The artifacts to serve, the default one first."""
        return [name.strip() for name in self.model.split(",") if name.strip()]
