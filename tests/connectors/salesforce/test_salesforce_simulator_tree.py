"""The Salesforce simulator: parents with their children in one call."""

PATH = "/composite/tree/Account"


def node(kind, reference, **fields):
    return {"attributes": {"type": kind, "referenceId": reference}, **fields}


def acme(*contacts):
    return {"records": [node("Account", "r1", Name="Acme", Contacts={"records": [*contacts]})]}


async def test_a_tree_creates_parents_and_children_that_point_to_them(org):
    answer = await org.post(PATH, acme(node("Contact", "r2", LastName="Byron")))

    ids = {result["referenceId"]: result["id"] for result in answer.body["results"]}
    assert (answer.status, answer.body["hasErrors"]) == (201, False)
    assert list(ids) == ["r1", "r2"]
    assert (await org.contact(ids["r2"]))["AccountId"] == ids["r1"]


async def test_a_refused_row_undoes_the_tree_and_only_bad_rows_are_named(org):
    good, bad = node("Contact", "r2", LastName="Byron"), node("Contact", "r3", FirstName="x")

    answer = await org.post(PATH, acme(good, bad))

    assert answer.status == 400
    assert answer.body["hasErrors"] is True
    (result,) = answer.body["results"]
    assert result["referenceId"] == "r3"
    assert result["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert await org.rows("SELECT Id FROM Account") == []
    assert await org.rows("SELECT Id FROM Contact") == []


async def test_a_tree_has_limits_and_needs_types_and_references(org):
    def chain(depth):
        deeper = {"Accounts": chain(depth - 1)} if depth > 1 else {}
        return {"records": [node("Account", f"r{depth}", Name="x", **deeper)]}

    many = [node("Contact", f"c{n}", LastName="x") for n in range(200)]
    wrong = [
        acme(*many),
        chain(6),
        acme(node("Contact", "r1", LastName="x")),
        acme(node("Lead", "r2", LastName="x")),
        acme({"LastName": "x"}),
        {"records": [node("Account", "r1", Name="x", Leads=chain(1))]},
        {"records": "x"},
    ]

    for body in wrong:
        assert (await org.post(PATH, body)).status == 400
    assert await org.rows("SELECT Id FROM Account") == []
    assert (await org.post(PATH, acme(*many[:199]))).status == 201
    assert (await org.post(PATH, chain(5))).status == 201
