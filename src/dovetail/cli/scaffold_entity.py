"""The entities that a new connector can begin with, and the text that each puts into its files."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent

_TEXT, _LINE = r"(?s).{0,5000}", r".{0,255}"


@dataclass(frozen=True, slots=True)
class FieldChoice:
    """
    A field of the new platform.

    Attributes:
        name: What the platform calls it.
        ours: The field of our entity.
        hubspot: HubSpot's property.
        pattern: What the simulator takes.
        sample: The source text of a sample value, in which ``n`` counts.
    """

    name: str
    ours: str
    hubspot: str
    pattern: str
    sample: str


@dataclass(frozen=True, slots=True)
class EntityChoice:
    """
    An entity that a connector begins with.

    Attributes:
        entity: Its class in `dovetail.entities`.
        plural: The resource.
        key: The platform's field that is unique, None where nothing is.
        watched: The field that the tests edit.
        values: What the tests put into it, first and later.
        needed: What HubSpot does not create a record without, beside the watched field.
    """

    entity: str
    plural: str
    fields: tuple[FieldChoice, ...]
    key: str | None
    watched: str
    values: tuple[str, str]
    needed: tuple[str, ...] = ()

    def resource(self) -> str:
        """Return the declaration of the resource."""
        find = " | {Capability.FIND}" if self.key else ""
        lines = [
            f"{self.plural.upper()} = Resource(",
            f'    name="{self.plural}",',
            f"    entity={self.entity},",
            f'    path="/v1/{self.plural}",',
            f'    key_field="{self.key}",' if self.key else "    key_field=None,",
            f"    key_is_unique={self.key is not None},",
            '    modified_field="updated_at",',
            "    fields={",
            *(f'        "{one.name}": "{one.ours}",' for one in self.fields),
            "    },",
            "    read_batch=100,",
            "    write_batch=50,",
            "    consistency_lag_s=30.0,",
            f"    capabilities=CAPABILITIES{find},",
            "    guarantees=GUARANTEES,",
            ")",
        ]
        return "\n".join(lines)

    def patterns(self) -> str:
        """Return what the simulator takes in each field."""
        inner = [f'        "{one.name}": r"{one.pattern}",' for one in self.fields]
        return "\n".join([f'    "{self.plural}": {{', *inner, "    },"])

    def columns(self) -> str:
        """Return the simulator's own translation of our names."""
        inner = [f'            "{one.ours}": "{one.name}",' for one in self.fields]
        return "\n".join([f'        "{self.plural}": {{', *inner, "        },"])

    def mapping(self, platform: str) -> str:
        """Return the mapping of the example."""
        sides = {
            platform: [f'"{one.name}": "{one.ours}",' for one in self.fields],
            "hubspot": [f'"{one.hubspot}": "{one.ours}",' for one in self.fields],
        }
        lines = [f'"{self.entity.lower()}": {{']
        for side, pairs in sides.items():
            lines += [f'    "{side}": {{', *(f"        {pair}" for pair in pairs), "    },"]
        return indent("\n".join([*lines, "},"]), " " * 8)

    def sample(self) -> str:
        """Return the sample records of the contract."""
        lines = [
            f'"{self.plural}": Sample(',
            "    record=lambda n: {",
            *(f'        "{one.name}": {one.sample},' for one in self.fields),
            "    },",
            f'    text="{self.watched}",',
            "    values={",
            f'        "{self.watched}": ["Zoë 東京", None],',
            *(
                f'        "{one.name}": [{_first(one.sample)}, None],'
                for one in self.fields
                if one.name not in (self.watched, self.key)
            ),
            "    },",
            f'    refused={{"{self.watched}": "x" * 6000}},',
            '    custom_field={"name": "shoe_size"},',
            "),",
        ]
        return indent("\n".join(lines), " " * 16)

    def record(self) -> str:
        """Return one record as source text, with the watched field's first value."""
        pairs = [
            f'"{one.name}": '
            + (f'"{self.values[0]}"' if one.name == self.watched else _first(one.sample))
            for one in self.fields
            if one.name in (self.watched, self.key, *self.needed)
        ]
        return "{" + ", ".join(pairs) + "}"

    def case(self) -> str:
        """Return the case of the tests that sync."""
        theirs = next(one.hubspot for one in self.fields if one.name == self.watched)
        first, second = self.values
        lines = [
            "Case(",
            f'    resource="{self.plural}",',
            f"    record={self.record()},",
            f'    ours="{self.watched}",',
            f'    theirs="{theirs}",',
            f'    first="{first}",',
            f'    second="{second}",',
            "),",
        ]
        return indent("\n".join(lines), " " * 4)


def _first(sample: str) -> str:
    """Return a sample's source text for the first record."""
    return sample.removeprefix("f").replace("{n}", "1")


def _same(name: str, pattern: str, sample: str) -> FieldChoice:
    return FieldChoice(name, name, name, pattern, sample)


CONTACT = EntityChoice(
    "Contact",
    "contacts",
    (
        FieldChoice("email", "email", "email", r"[^@\s]+@[^@\s]+", 'f"ada{n}@example.com"'),
        FieldChoice("given_name", "first_name", "firstname", _LINE, 'f"Ada {n}"'),
        FieldChoice("family_name", "last_name", "lastname", _LINE, '"Byron"'),
        FieldChoice("phone", "phone", "phone", _LINE, '"+44 20 7946 0018"'),
        FieldChoice("position", "job_title", "jobtitle", _LINE, '"Countess"'),
    ),
    key="email",
    watched="given_name",
    values=("Ada", "Augusta"),
)
COMPANY = EntityChoice(
    "Company",
    "companies",
    (
        _same("domain", r"[\w.-]+\.\w+", 'f"company{n}.example"'),
        _same("name", _LINE, 'f"Company {n}"'),
        _same("phone", _LINE, '"+44 20 7946 0018"'),
        _same("city", _LINE, '"London"'),
    ),
    key="domain",
    watched="name",
    values=("Babbage", "Babbage Ltd"),
)
DEAL = EntityChoice(
    "Deal",
    "deals",
    (
        FieldChoice("title", "name", "dealname", _LINE, 'f"Deal {n}"'),
        FieldChoice("amount", "amount", "amount", r"-?\d{1,12}(\.\d{1,6})?", '"125.50"'),
        FieldChoice("closes_on", "close_date", "closedate", r"\d{4}-\d\d-\d\d", '"2026-06-30"'),
    ),
    key=None,
    watched="title",
    values=("Engine", "Better engine"),
)
TICKET = EntityChoice(
    "Ticket",
    "tickets",
    (
        FieldChoice("title", "subject", "subject", _LINE, 'f"Ticket {n}"'),
        FieldChoice("text", "description", "content", _TEXT, '"It does not turn."'),
        FieldChoice("stage", "status", "hs_pipeline_stage", r"\w{1,40}", '"1"'),
    ),
    key=None,
    watched="title",
    values=("It is stuck", "It is stuck again"),
    needed=("stage",),
)

ENTITIES = {one.entity.lower(): one for one in (CONTACT, COMPANY, DEAL, TICKET)}
"""By the name that ``--entity`` takes."""
