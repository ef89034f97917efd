"""The client that openapi-generator makes for Python."""

import files
from openapi_client import ApiClient, Configuration, FetchApi, FollowApi, HandInApi

client = ApiClient(Configuration(host=files.URL))
hand_in = HandInApi(client)
patient = "P-python"

for i, (name, content) in enumerate(files.DRAWINGS):
    image = hand_in.put_image(f"IMG{i}", patient, content).to_dict()
    assert image["sha256"] == files.sha256(content)
    files.stored_image(image)
accepted = hand_in.upload_case_report(
    patient,
    report_id="generated-python",
    notes=files.NOTES,
    captured_at="2026-11-21T19:58:00+08:00",
    images=files.PHOTOS,
    image_id=["IMG0", "IMG1"],
).to_dict()
files.stored_report(accepted)
report = FollowApi(client).get_case_report(accepted["id"], wait="60s").to_dict()
assert report["capturedAt"] == "2026-11-21T19:58:00+08:00"
files.check_report(report, files.DRAWINGS + files.PHOTOS)  # the generated form has its files last
files.check_pdf(FetchApi(client).get_report_pdf(accepted["id"]), report["report"])
