import pytest

from app.api.responses import choose_media_type
from app.errors import NotAcceptable

OFFERED = ["application/json", "image/png"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("image/*", "image/png"),
        ("image/png, application/json", "application/json"),
        ("application/json;q=0.5, image/png", "image/png"),
        ("application/json;q=0.5, image/png;q=0.4;v=1", "application/json"),
        ("*/*;q=0.1, image/png", "image/png"),
        ("*/*, application/json;q=0", "image/png"),
        ("image/*;q=0, image/png", "image/png"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("image/png;q=bogus, application/json;q=0.1", "application/json"),
    ],
)
def test_the_best_liked_type_is_chosen(accept, chosen):
    assert choose_media_type(accept, OFFERED) == chosen


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0, image/*;q=0", "nonsense"])
def test_what_rules_out_everything_is_refused(accept):
    with pytest.raises(NotAcceptable, match="image/png"):
        choose_media_type(accept, OFFERED)
