"""
Realistic people from a seed: what real customer lists look like, and hard for a sync.

Many scripts, phone formats, mixed-case and plus-addressed e-mails, blanks, stray spaces, and a
pool that every platform of the same seed shares under the same e-mail addresses, with fields that
differ from platform to platform.
"""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dovetail.simulator_sdk.name import COMPANIES, JOB_TITLES, REGIONS, Region

_TWO_YEARS_S = 2 * 365 * 24 * 3600
# Letters that Unicode does not decompose into a Latin letter and a mark.
_LATIN = {
    ord(letter): latin
    for letter, latin in zip("ßłŁœıđĐø", ("ss", "l", "L", "oe", "i", "d", "D", "o"), strict=True)
}
_NICKNAMES = {"Robert": "Bob", "Elizabeth": "Liz", "James": "Jim", "François": "Fran"}


@dataclass(frozen=True, slots=True)
class Person:
    """One person as one platform holds them; None is blank."""

    first_name: str | None
    last_name: str
    email: str | None
    phone: str | None
    mobile_phone: str | None
    company_name: str | None
    job_title: str | None
    street: str | None
    city: str | None
    postal_code: str | None
    country: str | None
    created_at: datetime
    modified_at: datetime

    def values(self) -> dict[str, str]:
        """Return what is not blank, by our field names, without the times."""
        named = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in named.items() if value is not None}


FIELDS = (
    "first_name",
    "last_name",
    "email",
    "phone",
    "mobile_phone",
    "company_name",
    "job_title",
    "street",
    "city",
    "postal_code",
    "country",
)


def people(
    seed: int,
    platform: str,
    count: int,
    *,
    shared: float = 0.25,
    until: datetime,
    duplicates: bool = False,
) -> list[Person]:
    """
    Return the people of one platform, oldest creation first.

    The share *shared* of them are in the pool that all platforms of this seed draw from, in the
    same order: with 2000 people on each of two platforms exactly 500 are the same, by their
    e-mail address without regard to case. Of the others about 2 % have no e-mail address and, with
    *duplicates*, 1 % repeat the address of another.

    Args:
        seed: Same seed, same people.
        platform: Whose view of the shared people, and whose own people.
        count: How many.
        shared: Share of `count` that comes from the common pool.
        until: Creation and modification lie in the two years before this moment.
        duplicates: Whether one address may occur twice among the platform's own people.
    """
    common = int(count * shared)
    crowd = [_as_seen_by(platform, seed, number, until) for number in range(common)]
    repeats = round(count * 0.01) if duplicates else 0
    originals = [
        _person(random.Random(f"{seed}/{platform}/{number}"), f"{platform[:2]}{number}", until)
        for number in range(count - common - repeats)
    ]
    own: list[Person] = []
    rng = random.Random(f"{seed}/{platform}/own")
    for person in originals:
        varied = _vary(person, rng)
        own.append(replace(varied, email=None) if rng.random() < 0.02 else varied)
    for person, first in list(zip(originals, own, strict=True))[:repeats]:
        own.append(_again(person, first.email, rng, until))
    crowd.extend(own)
    crowd.sort(key=lambda person: person.created_at)
    return crowd


def _person(rng: random.Random, tag: str, until: datetime) -> Person:
    region = rng.choice(REGIONS)
    given, given_latin = _spellings(rng.choice(region.given))
    family, family_latin = _spellings(rng.choice(region.family))
    local = f"{_ascii(given_latin)}.{_ascii(family_latin)}"
    # The number keeps addresses unique; the plus address is a real person's habit.
    plus = rng.choice(("+crm", "+news")) if rng.random() < 0.08 else ""
    created_at = _moment(rng, until, _TWO_YEARS_S)
    since_s = int((until - created_at).total_seconds())
    return Person(
        first_name=given,
        last_name=family,
        email=f"{local}.{tag}{plus}@{rng.choice(region.domains)}",
        phone=_phone(rng, region),
        mobile_phone=None,
        company_name=rng.choice(COMPANIES),
        job_title=rng.choice(JOB_TITLES),
        street=rng.choice(region.streets),
        city=rng.choice(region.cities),
        postal_code=f"{rng.randrange(1000, 99999):05d}",
        country=region.country,
        created_at=created_at,
        modified_at=_moment(rng, until, max(since_s, 1)),
    )


def _as_seen_by(platform: str, seed: int, number: int, until: datetime) -> Person:
    """Return the shared person as this platform holds them: same address, other details."""
    person = _person(random.Random(f"{seed}/shared/{number}"), f"s{number}", until)
    rng = random.Random(f"{seed}/shared/{number}/{platform}")
    created_at = _moment(rng, until, _TWO_YEARS_S)
    since_s = int((until - created_at).total_seconds())
    first = person.first_name or ""
    if rng.random() < 0.15:
        first = _NICKNAMES.get(first, first)
    return _vary(
        replace(
            person,
            first_name=first,
            created_at=created_at,
            modified_at=_moment(rng, until, max(since_s, 1)),
        ),
        rng,
    )


def _vary(person: Person, rng: random.Random) -> Person:
    """Return the person with another phone format, blanks, stray spaces, another case."""
    email = person.email or ""
    style = rng.random()
    if style < 0.10:
        email = email.title()
    elif style < 0.15:
        email = email.upper()
    first, last = person.first_name, person.last_name
    if first is not None and rng.random() < 0.04:
        first = f"{first} "
    if rng.random() < 0.03:
        last = f"  {last}"
    if rng.random() < 0.03:
        first = None
    phone = _reformat(person.phone or "", rng)
    return replace(
        person,
        first_name=first,
        last_name=last,
        email=email,
        phone=None if rng.random() < 0.12 else phone,
        mobile_phone=_reformat(person.phone or "", rng) if rng.random() < 0.2 else None,
        company_name=None if rng.random() < 0.2 else person.company_name,
        job_title=None if rng.random() < 0.3 else person.job_title,
        street=None if rng.random() < 0.4 else person.street,
        city=None if rng.random() < 0.25 else person.city,
        postal_code=None if rng.random() < 0.4 else person.postal_code,
        country=None if rng.random() < 0.2 else person.country,
    )


def _again(person: Person, email: str | None, rng: random.Random, until: datetime) -> Person:
    """Return a second record of the same person, as careless typing makes them."""
    created_at = _moment(rng, until, _TWO_YEARS_S // 4)
    if email is not None and rng.random() < 0.5:
        email = email.upper()
    return replace(_vary(person, rng), email=email, created_at=created_at, modified_at=created_at)


def _moment(rng: random.Random, until: datetime, within_s: int) -> datetime:
    return until - timedelta(seconds=rng.randrange(within_s), milliseconds=rng.randrange(1, 1000))


def _spellings(name: str) -> tuple[str, str]:
    native, _, latin = name.partition("|")
    return native, latin or native


def _ascii(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.translate(_LATIN)).encode("ascii", "ignore")
    return "".join(char for char in plain.decode().lower() if char.isalnum() or char == "-")


def _phone(rng: random.Random, region: Region) -> str:
    return "".join(str(rng.randrange(10)) if char == "#" else char for char in region.phone)


def _reformat(plan: str, rng: random.Random) -> str:
    """Write a number that starts with its country code in one of the ways people write it."""
    code, *parts = plan.split()
    area, *rest = parts
    style = rng.randrange(7)
    if style == 0:
        return f"+{code}{''.join(parts)}"
    if style == 1:
        return f"+{code} {' '.join(parts)}"
    if style == 2:
        return f"00{code} {area} {''.join(rest)}"
    if style == 3:
        return f"+{code} ({area}) {'-'.join(rest)}"
    if style == 4:
        return f"({area}) {'-'.join(rest)}" if code == "1" else f"0{area}/{''.join(rest)}"
    if style == 5:
        return f"+{code}.{area}.{'.'.join(rest)}"
    return f"+{code}-{area}-{''.join(rest)} ext. {rng.randrange(10, 99)}"
