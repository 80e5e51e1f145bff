import pytest


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("as=ct&name=a.exe", 415, "upload-kind"),
        ("as=mask&name=a.zip", 415, "upload-kind"),
        ("name=a.nii", 400, "request-invalid"),
        ("as=picture&name=a.nii", 400, "request-invalid"),
        ("as=mask&name=a.nii&of=0000000000000000", 404, "id-unknown"),
        ("as=mask&name=a.nii&of=..", 404, "id-unknown"),
        (f"as=mask&name={'a' * 300}.nii", 400, "request-invalid"),
        ("as=mask&name=a.nii", 422, "file-empty"),
    ],
)
def test_an_upload_that_cannot_be_opened_is_refused(page, query, status, code):
    response = page.post(f"/api/open?{query}", b"")
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_examples_and_templates_are_told(page):
    assert page.client.get("/api/examples").json()[0]["sentences"]
    assert page.client.get("/api/template").json() is None


def test_only_a_real_ct_is_forgotten_as_one(page, item):
    assert page.client.delete(f"/api/volumes/{item['volume']}").status_code == 404
    assert page.client.get(f"/api/volumes/{item['volume']}/header").status_code == 200
