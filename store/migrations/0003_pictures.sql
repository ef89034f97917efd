-- What is known of a picture beside its bytes.

-- Media type of the full picture; '' in rows of before means JPEG.
ALTER TABLE case_report_images ADD COLUMN full_media_type TEXT NOT NULL DEFAULT '';

-- Pixels of the original, before it was turned upright; 0 if unknown.
ALTER TABLE case_report_images ADD COLUMN source_width INTEGER NOT NULL DEFAULT 0;
ALTER TABLE case_report_images ADD COLUMN source_height INTEGER NOT NULL DEFAULT 0;

-- When the camera says that it took the picture, RFC 3339 with or without a zone.
ALTER TABLE case_report_images ADD COLUMN taken_at TEXT NOT NULL DEFAULT '';

-- Names, never values, of the metadata that the picture does not have any more: a JSON array.
ALTER TABLE case_report_images ADD COLUMN removed TEXT NOT NULL DEFAULT '[]';

-- 1 if only a part of the original could be read.
ALTER TABLE case_report_images ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;
