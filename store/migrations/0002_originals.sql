-- Which originals are still needed. One may be dropped when a report has released
-- it, every report with it has, and it waits for no report yet to come.

-- Images put ahead at or beyond this offset of their topic were put after the report.
ALTER TABLE case_reports ADD COLUMN images_end BIGINT NOT NULL DEFAULT 0;

-- 1 once the completion of the report is in the log and it needs the original no more.
ALTER TABLE case_report_images ADD COLUMN released INTEGER NOT NULL DEFAULT 0;

-- Offset after the latest record that put the image ahead; 0 if none did or a
-- report with the image has released it.
ALTER TABLE patient_images ADD COLUMN put_end BIGINT NOT NULL DEFAULT 0;

CREATE INDEX case_report_images_sha256 ON case_report_images (sha256);
CREATE INDEX patient_images_sha256 ON patient_images (sha256);
