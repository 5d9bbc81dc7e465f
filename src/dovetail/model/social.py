"""Posts on social networks."""

from __future__ import annotations

from datetime import datetime

from dovetail.model.entity import Entity
from dovetail.model.event import EventName


class Post(Entity):
    """A message to be published."""

    text: str | None = None
    media_urls: list[str] | None = None
    platforms: list[str] | None = None
    status: str | None = None
    publish_at: datetime | None = None
    external_id: str | None = None
    source_platform: str | None = None

    published = EventName()
