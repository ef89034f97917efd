"""httpx by hand: upload, the same again, poll, and resume after a cut."""

import files
import httpx

patient = "P-httpx"
# The default read timeout of httpx, 5 s, is shorter than the wait for a report.
client = httpx.Client(base_url=files.URL, timeout=httpx.Timeout(60, read=120))


def answer(response, status):
    assert response.status_code == status, response.text
    return response.json()


def upload():
    return client.post(
        "/upload-case-report",
        data={"patientId": patient, "notes": files.NOTES},
        files=[("images", photo) for photo in files.PHOTOS],
        headers={"Idempotency-Key": '"hand-httpx"'},
    )


first = answer(upload(), 202)
files.stored_report(first)
again = upload()
assert again.headers["Idempotency-Replayed"] == "true"
assert answer(again, 202)["receipt"] == first["receipt"]

headers, report = {}, {"status": "accepted"}
while report["status"] != "completed":
    response = client.get(first["statusUrl"], params={"wait": "20s"}, headers=headers)
    if response.status_code != 304:
        report = answer(response, 200)
        headers = {"If-None-Match": response.headers["ETag"]}
        assert report["status"] != "failed", report
files.check_report(report, files.PHOTOS)
files.check_pdf(client.get(report["report"]["url"]).content, report["report"])

# The line breaks in the middle of an image: nothing is there. Then it is put, and found by HEAD.
name, content = files.PHOTOS[1]
address, of = "/images/IMG-cut", {"patientId": patient}


class Cut(Exception):
    pass


def half():
    yield content[: len(content) // 2]
    raise Cut


try:
    client.put(address, params=of, content=half(), headers={"Content-Length": str(len(content))})
    raise AssertionError("half an image was answered")
except Cut:
    pass
assert client.head(address, params=of).status_code == 404
files.stored_image(answer(client.put(address, params=of, content=content), 201))
head = client.head(address, params=of)
assert (head.status_code, head.headers["ETag"]) == (200, f'"{files.sha256(content)}"')
form = {"patientId": patient, "imageId": "IMG-cut", "reportId": "hand-httpx-named", "notes": files.NOTES}
named = answer(client.post("/upload-case-report", data=form), 202)
files.stored_report(named)
files.check_report(answer(client.get(named["statusUrl"], params={"wait": "60s"}), 200), [(name, content)])
