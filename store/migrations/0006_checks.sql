-- Checks of what no digest covers, so that a letter or a number that the disk has changed is noticed: see checkSum in
-- package tasks. 0 in rows of earlier versions, which have none.

ALTER TABLE patient_images ADD COLUMN check_sum BIGINT NOT NULL DEFAULT 0;    -- of all columns but put_end
ALTER TABLE case_reports ADD COLUMN check_sum BIGINT NOT NULL DEFAULT 0;      -- of the result, images included
ALTER TABLE finished_pictures ADD COLUMN check_sum BIGINT NOT NULL DEFAULT 0; -- of result
