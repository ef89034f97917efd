# Shows pictures as Pillow does. Each line of standard input is a file, a tab, and the PNG to write;
# the answer to each is a line: "ok", or what Pillow said. Upright, in sRGB, at most SIDE pixels.
import io
import sys
import warnings

import pillow_heif
from PIL import Image, ImageCms, ImageOps

SIDE = int(sys.argv[1])
warnings.simplefilter("ignore")
Image.MAX_IMAGE_PIXELS = None
pillow_heif.register_heif_opener()
SRGB = ImageCms.createProfile("sRGB")


def converted(img, profile):
    """Brings colours to sRGB; a profile that does not fit the picture is left out, as viewers do."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        alpha = img.getchannel("A") if "A" in img.getbands() else None
        if img.mode in ("RGBA", "LA"):
            img = img.convert(img.mode[:-1])
        img = ImageCms.profileToProfile(img, source, SRGB, outputMode="RGB")
        if alpha is not None:
            img.putalpha(alpha)
        return img
    except (ImageCms.PyCMSError, OSError, ValueError):
        return img


def show(path, out):
    with Image.open(path) as img:
        img.load()
        profile = img.info.get("icc_profile")
        img = ImageOps.exif_transpose(img)
        if img.mode.startswith("I;16"):  # convert would cut the values off at 255
            img = img.convert("I")
            img = img.point(lambda v: v * (1 / 257)).convert("L")
        if img.mode == "P" or img.mode == "PA" or "transparency" in img.info:
            img = img.convert("RGBA")
        if profile and img.mode in ("RGB", "RGBA", "CMYK", "L", "LA"):
            img = converted(img, profile)
        if img.mode not in ("L", "LA", "RGB", "RGBA"):
            img = img.convert("RGBA" if "A" in img.getbands() or "a" in img.getbands() else "RGB")
        if max(img.size) > SIDE:
            img.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
        img.save(out, "PNG", compress_level=1, icc_profile=None)


for line in sys.stdin:
    source, target = line.rstrip("\n").split("\t")
    try:
        show(source, target)
        answer = "ok"
    except Exception as e:  # whatever it says is the answer
        answer = f"{type(e).__name__}: {e}".replace("\n", " ") or "error"
    print(answer, flush=True)
