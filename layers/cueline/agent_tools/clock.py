"""What time it is, which no model knows."""

from datetime import datetime
from zoneinfo import ZoneInfo

from cueline.adapters.tools.found import ToolError


def current_time(timezone: str = "UTC") -> dict[str, str]:
    """The current date, time and weekday in a time zone, such as Europe/Berlin."""
    try:
        zone = ZoneInfo(timezone)
    except (LookupError, ValueError, OSError):
        raise ToolError(
            f"There is no time zone {timezone!r}. Use one like Europe/Berlin."
        ) from None
    now = datetime.now(zone)
    return {
        "time": now.isoformat(timespec="seconds"),
        "weekday": now.strftime("%A"),
        "timezone": timezone,
    }
