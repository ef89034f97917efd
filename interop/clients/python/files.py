"""What the clients in Python hand in, and how they say what was answered with a 2xx."""

import hashlib
import os
from pathlib import Path

URL = os.environ["CASEPRESS_URL"]
SOURCE = Path(os.environ["CASEPRESS_SOURCE"])
NOTES = 'rash; 12" on the left arm & hand = 皮疹 😀'
PHOTOS = [(name, (SOURCE / "examples" / name).read_bytes()) for name in ("photo-1.jpg", "photo-2.jpg")]
DRAWINGS = [(name, (SOURCE / "docs/images" / name).read_bytes()) for name in ("page.png", "pdf.png")]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def stored_report(accepted):
    """Writes the line that after.mjs reads when the server was killed."""
    digests = ",".join(image["sha256"] for image in accepted["images"])
    print("stored report", accepted["id"], accepted["receipt"]["sha256"], digests)


def stored_image(image):
    print("stored image", image["patientId"], image["imageId"], image["sha256"])


def check_report(report, files):
    assert report["status"] == "completed", report
    assert report["notes"] == NOTES, report
    assert [image["sha256"] for image in report["images"]] == [sha256(content) for _, content in files], report
    assert report["problems"] == [], report


def check_pdf(pdf, document):
    assert (len(pdf), sha256(pdf), pdf[:5]) == (document["bytes"], document["sha256"], b"%PDF-"), document
