-- One table for submissions of all kinds. What only case reports have stays in case_reports.
--
-- What belongs to one kind is kept within its primary key (WITHOUT ROWID), which makes fewer entries an upload.
--
-- The tables that change are made anew, filled and renamed, the referring table first: dropping a
-- table that another refers to would fail.

CREATE TABLE submissions (
    kind            TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    sequence        BIGINT  NOT NULL, -- offset of the record
    due_sequence    BIGINT  NOT NULL, -- offset of the record whose delivery runs it: its own, or that of the latest retry
    sha256          TEXT    NOT NULL,
    study           TEXT    NOT NULL,
    site            TEXT    NOT NULL,
    patient_id      TEXT    NOT NULL,
    visit_id        TEXT    NOT NULL,
    received_at     BIGINT  NOT NULL,
    created_at      BIGINT  NOT NULL,
    started_at      BIGINT  NOT NULL DEFAULT 0,
    finished_at     BIGINT  NOT NULL DEFAULT 0,
    next_attempt_at BIGINT  NOT NULL DEFAULT 0,
    status          TEXT    NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    base_attempts   INTEGER NOT NULL DEFAULT 0, -- those of attempts that do not count against the budget
    crashes         INTEGER NOT NULL DEFAULT 0, -- deaths of the process while it worked on this alone
    suspect         INTEGER NOT NULL DEFAULT 0, -- 1 if the process died while it worked on this
    done            INTEGER NOT NULL DEFAULT 0,
    total           INTEGER NOT NULL DEFAULT 0,
    error           TEXT    NOT NULL DEFAULT '',
    version         BIGINT  NOT NULL DEFAULT 1,
    PRIMARY KEY (kind, id),
    UNIQUE (kind, sequence)
);

-- Of earlier retries the offset is not known, so due_sequence is that of the report.
INSERT INTO submissions (kind, id, sequence, due_sequence, sha256, study, site, patient_id, visit_id,
        received_at, created_at, started_at, finished_at, next_attempt_at, status, attempts, base_attempts,
        done, total, error, version)
    SELECT 'case-report', id, sequence, sequence, sha256, '', '', patient_id, visit_id,
        received_at, created_at, started_at, finished_at, next_attempt_at, status, attempts, base_attempts,
        done, total, error, version
    FROM case_reports ORDER BY sequence;

CREATE TABLE new_case_reports (
    id          TEXT    NOT NULL PRIMARY KEY,
    notes       TEXT    NOT NULL,
    captured_at TEXT    NOT NULL,
    images_end  BIGINT  NOT NULL DEFAULT 0, -- images put ahead at or beyond this offset of their topic came after the report
    pdf_sha256  TEXT    NOT NULL DEFAULT '',
    pdf_bytes   BIGINT  NOT NULL DEFAULT 0,
    pdf_pages   INTEGER NOT NULL DEFAULT 0,
    problems    TEXT    NOT NULL DEFAULT '[]' -- JSON
) WITHOUT ROWID;
INSERT INTO new_case_reports (id, notes, captured_at, images_end, pdf_sha256, pdf_bytes, pdf_pages, problems)
    SELECT id, notes, captured_at, images_end, pdf_sha256, pdf_bytes, pdf_pages, problems FROM case_reports ORDER BY sequence;

CREATE TABLE new_case_report_images (
    report_id       TEXT    NOT NULL,
    n               INTEGER NOT NULL, -- position in the report, from 1
    image_id        TEXT    NOT NULL,
    sha256          TEXT    NOT NULL,
    bytes           BIGINT  NOT NULL,
    media_type      TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    full_sha256     TEXT    NOT NULL DEFAULT '',
    full_bytes      BIGINT  NOT NULL DEFAULT 0,
    thumb_sha256    TEXT    NOT NULL DEFAULT '',
    thumb_bytes     BIGINT  NOT NULL DEFAULT 0,
    width           INTEGER NOT NULL DEFAULT 0,
    height          INTEGER NOT NULL DEFAULT 0,
    released        INTEGER NOT NULL DEFAULT 0,  -- 1 once the completion of the report is in the log and it needs the original no more
    full_media_type TEXT    NOT NULL DEFAULT '', -- '' in rows of earlier versions means JPEG
    source_width    INTEGER NOT NULL DEFAULT 0,  -- pixels of the original before it was turned upright, 0 if unknown
    source_height   INTEGER NOT NULL DEFAULT 0,
    taken_at        TEXT    NOT NULL DEFAULT '', -- RFC 3339 with or without a zone
    removed         TEXT    NOT NULL DEFAULT '[]', -- names of removed metadata, never values: a JSON array
    damaged         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (report_id, n)
) WITHOUT ROWID;
INSERT INTO new_case_report_images (report_id, n, image_id, sha256, bytes, media_type, name,
        full_sha256, full_bytes, thumb_sha256, thumb_bytes, width, height, released,
        full_media_type, source_width, source_height, taken_at, removed, damaged)
    SELECT report_id, n, image_id, sha256, bytes, media_type, name,
        full_sha256, full_bytes, thumb_sha256, thumb_bytes, width, height, released,
        full_media_type, source_width, source_height, taken_at, removed, damaged
    FROM case_report_images;

CREATE TABLE new_patient_images (
    study      TEXT   NOT NULL,
    patient_id TEXT   NOT NULL,
    image_id   TEXT   NOT NULL,
    sha256     TEXT   NOT NULL,
    bytes      BIGINT NOT NULL,
    media_type TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    put_end    BIGINT NOT NULL DEFAULT 0, -- offset after the latest record that put it ahead; 0 if none did or a report with it has released it
    PRIMARY KEY (study, patient_id, image_id)
) WITHOUT ROWID;
INSERT INTO new_patient_images (study, patient_id, image_id, sha256, bytes, media_type, name, put_end)
    SELECT '', patient_id, image_id, sha256, bytes, media_type, name, put_end FROM patient_images;

DROP TABLE case_report_images;
DROP TABLE case_reports;
DROP TABLE patient_images;
ALTER TABLE new_case_reports RENAME TO case_reports;
ALTER TABLE new_case_report_images RENAME TO case_report_images;
ALTER TABLE new_patient_images RENAME TO patient_images;

-- What earlier attempts made of an original, so that the next one need not begin from nothing.
CREATE TABLE finished_pictures (
    sha256       TEXT   NOT NULL, -- of the original
    options      TEXT   NOT NULL, -- how it was made
    result       TEXT   NOT NULL, -- JSON
    full_sha256  TEXT   NOT NULL, -- of result
    thumb_sha256 TEXT   NOT NULL, -- of result
    made_at      BIGINT NOT NULL,
    PRIMARY KEY (sha256, options)
);

-- How far the rows of each topic of the log have come.
CREATE TABLE watermarks (
    topic     TEXT   NOT NULL PRIMARY KEY,
    next      BIGINT NOT NULL, -- offset of the first record that the rows do not have
    check_sum TEXT   NOT NULL  -- identifies the record below next
);

CREATE INDEX submissions_patient ON submissions (kind, patient_id, sequence);
CREATE INDEX submissions_status ON submissions (kind, status, sequence);
CREATE INDEX submissions_study ON submissions (kind, study, sequence) WHERE study <> '';
CREATE INDEX submissions_site ON submissions (kind, site, sequence) WHERE site <> '';
CREATE INDEX submissions_unfinished ON submissions (kind, due_sequence) WHERE status IN ('accepted', 'retrying', 'processing');

-- Every column that names a blob has an index, so that one that nobody names is found at once.
CREATE INDEX case_reports_pdf ON case_reports (pdf_sha256) WHERE pdf_sha256 <> '';
CREATE INDEX case_report_images_sha256 ON case_report_images (sha256);
CREATE INDEX case_report_images_full ON case_report_images (full_sha256) WHERE full_sha256 <> '';
CREATE INDEX case_report_images_thumb ON case_report_images (thumb_sha256) WHERE thumb_sha256 <> '';
CREATE INDEX patient_images_sha256 ON patient_images (sha256);
CREATE INDEX finished_pictures_full ON finished_pictures (full_sha256) WHERE full_sha256 <> '';
CREATE INDEX finished_pictures_thumb ON finished_pictures (thumb_sha256) WHERE thumb_sha256 <> '';
