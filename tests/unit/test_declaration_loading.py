"""Declarations from files."""

import json
from decimal import Decimal

import pytest

from dovetail.errors import ConfigError, DeclarationError
from dovetail.service.declaration import load_services


def load(tmp_path, text: str, name: str = "services.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_services(path)


def test_a_file_declares_one_service_or_a_list(tmp_path):
    (one,) = load(tmp_path, "name: One")
    first, second = load(tmp_path, "services:\n  - name: One\n  - {name: Two, platforms: [xero]}\n")

    assert (one.name, first.name, second.platform_names) == ("One", "One", ("xero",))


def test_json_declares_the_same(tmp_path):
    data = {"name": "One", "integration": {"platforms": ["hubspot"], "syncMode": "inbound"}}

    assert load(tmp_path, json.dumps(data), "one.json") == load(tmp_path, json.dumps(data))


@pytest.mark.parametrize("name", ["price.yaml", "price.yml", "price.json"])
def test_an_amount_in_a_file_never_passes_through_a_float(tmp_path, name):
    text = '{"name": "One", "pricing": {"model": "per-post", "rate": 0.123456789012345}}'
    (service,) = load(tmp_path, text, name)
    long = text.replace("0.123456789012345", "12345678901.1234567890123")
    (exact,) = load(tmp_path, long, name)

    assert service.pricing.rate == Decimal("0.123456789012345")
    assert exact.pricing.rate == Decimal("12345678901.1234567890123")


@pytest.mark.parametrize("written", [".inf", "Infinity", "unlimited", "null", "~", "None"])
def test_no_limit_in_yaml(tmp_path, written):
    tiers = f"[{{name: A, price: 1, includes: {{api_calls: {written}}}}}]"
    (service,) = load(tmp_path, f"name: One\npricing: {{model: subscription, tiers: {tiers}}}")

    assert service.pricing.tiers[0].includes == {"api_calls": None}


def test_no_limit_in_json(tmp_path):
    tiers = '[{"name": "A", "price": 1, "includes": Infinity}]'
    text = f'{{"name": "One", "pricing": {{"model": "subscription", "tiers": {tiers}}}}}'
    (service,) = load(tmp_path, text, "one.json")

    assert service.pricing.tiers[0].includes is None


def test_yaml_anchors_and_merges_work(tmp_path):
    text = """
services:
  - &base
    name: One
    platforms: [xero]
  - <<: *base
    name: Two
"""
    one, two = load(tmp_path, text)

    assert (one.name, two.name, two.platforms) == ("One", "Two", ("xero",))


def test_problems_of_every_service_are_told_at_once_with_their_place(tmp_path):
    text = "services:\n  - {name: One, type: x}\n  - {name: Two, integration: {syncMode: up}}\n"
    with pytest.raises(DeclarationError) as caught:
        load(tmp_path, text)

    assert [problem["path"] for problem in caught.value.problems] == [
        "services[0].type",
        "services[1].integration.syncMode",
    ]
    assert str(tmp_path / "services.yaml") in str(caught.value)


def test_two_services_have_two_names(tmp_path):
    with pytest.raises(DeclarationError, match="'One' is the name of two services"):
        load(tmp_path, "services: [{name: One}, {name: One}]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a table that declares a service, not nothing"),
        ("- name: One", "must be a table that declares a service, not a list"),
        ("services: []", "must be a list of services"),
        ("services: {name: One}", "must be a list of services"),
        ("services: [One]", r"services\[0\]: must be a table"),
        ("services: [{name: One}]\nname: Two", "name: cannot stand beside services"),
        ("name: [", "is not YAML: .* in line 1"),
        ("name: One\nname: Two", "the key 'name' is given twice in line 2"),
        ("name: One\n---\nname: Two", "is not YAML: .*another document"),
        ("name: !!python/object:os.system x", "is not YAML"),
        ("name: \x07", "is not YAML"),
        ("1: One", r"1: is not a key"),
    ],
)
def test_a_file_that_declares_nothing_is_refused(tmp_path, text, message):
    with pytest.raises(DeclarationError, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "One"', "is not JSON: .* in line 1"),
        ('{"name": "One", "name": "Two"}', "the key 'name' is given twice"),
    ],
)
def test_a_file_that_is_not_json_is_refused(tmp_path, text, message):
    with pytest.raises(DeclarationError, match=message):
        load(tmp_path, text, "one.json")


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml cannot be read: No such file"):
        load_services(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match=r"must end in \.yaml, \.yml, \.json"):
        load(tmp_path, "name: One", "services.toml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_services(tmp_path / "latin.yaml")
