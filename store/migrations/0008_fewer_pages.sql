-- Fewer pages are written when work on a submission begins and ends.

-- What is unfinished stands in the order in which it came. A claim changes nothing that this index has, and the end of the work
-- takes one entry out; an index of every status had to follow both. Few fail, so that those have an index of their own.
DROP INDEX submissions_status;
CREATE INDEX submissions_unfinished ON submissions (kind, sequence) WHERE finished_at = 0;
CREATE INDEX submissions_failed ON submissions (kind, sequence) WHERE status = 'failed';

-- An entry for each picture, each thumbnail and the PDF of a report lay on a page of its own. Who looks for blobs that no row
-- names, or for blobs that are gone, reads all rows in the order of their keys.
DROP INDEX case_reports_pdf;
DROP INDEX case_report_images_full;
DROP INDEX case_report_images_thumb;
DROP INDEX finished_pictures_full;
DROP INDEX finished_pictures_thumb;

-- The numbers by which an original is found to be needed no more: beside each stands -1 minus it, so that one that the disk
-- has changed is noticed and no original is dropped for it.
ALTER TABLE case_reports ADD COLUMN images_end_check BIGINT NOT NULL DEFAULT -1;
ALTER TABLE case_report_images ADD COLUMN released_check INTEGER NOT NULL DEFAULT -1;
ALTER TABLE patient_images ADD COLUMN put_end_check BIGINT NOT NULL DEFAULT -1;
UPDATE case_reports SET images_end_check = -1 - images_end WHERE images_end <> 0;
UPDATE case_report_images SET released_check = -1 - released WHERE released <> 0;

-- An original is found by the reports that have it, and only while it waits for one by itself. What was put ahead by a version that
-- kept no put_end, and has come with no report, waits.
DROP INDEX patient_images_sha256;
UPDATE patient_images SET put_end = 1
    WHERE put_end = 0 AND NOT EXISTS (SELECT 1 FROM case_report_images i WHERE i.sha256 = patient_images.sha256);
UPDATE patient_images SET put_end_check = -1 - put_end WHERE put_end <> 0;
CREATE INDEX patient_images_waiting ON patient_images (sha256) WHERE put_end <> 0 OR put_end_check <> -1;
