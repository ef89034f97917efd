-- Times are microseconds since 1970 in UTC, 0 for none. Texts and numbers are
-- never null: '' and 0 stand for none.

CREATE TABLE case_reports (
    id              TEXT    NOT NULL PRIMARY KEY,
    sequence        BIGINT  NOT NULL UNIQUE, -- offset of the log record
    sha256          TEXT    NOT NULL,
    patient_id      TEXT    NOT NULL,
    visit_id        TEXT    NOT NULL,
    notes           TEXT    NOT NULL,
    captured_at     TEXT    NOT NULL,
    received_at     BIGINT  NOT NULL,
    created_at      BIGINT  NOT NULL,
    started_at      BIGINT  NOT NULL DEFAULT 0,
    finished_at     BIGINT  NOT NULL DEFAULT 0,
    next_attempt_at BIGINT  NOT NULL DEFAULT 0,
    status          TEXT    NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    base_attempts   INTEGER NOT NULL DEFAULT 0,
    done            INTEGER NOT NULL DEFAULT 0,
    total           INTEGER NOT NULL DEFAULT 0,
    error           TEXT    NOT NULL DEFAULT '',
    pdf_sha256      TEXT    NOT NULL DEFAULT '',
    pdf_bytes       BIGINT  NOT NULL DEFAULT 0,
    pdf_pages       INTEGER NOT NULL DEFAULT 0,
    problems        TEXT    NOT NULL DEFAULT '[]', -- JSON
    version         BIGINT  NOT NULL DEFAULT 1
);

CREATE INDEX case_reports_patient ON case_reports (patient_id, sequence);
CREATE INDEX case_reports_status ON case_reports (status, sequence);

CREATE TABLE case_report_images (
    report_id    TEXT    NOT NULL REFERENCES case_reports (id),
    n            INTEGER NOT NULL, -- position in the report, from 1
    image_id     TEXT    NOT NULL,
    sha256       TEXT    NOT NULL,
    bytes        BIGINT  NOT NULL,
    media_type   TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    full_sha256  TEXT    NOT NULL DEFAULT '',
    full_bytes   BIGINT  NOT NULL DEFAULT 0,
    thumb_sha256 TEXT    NOT NULL DEFAULT '',
    thumb_bytes  BIGINT  NOT NULL DEFAULT 0,
    width        INTEGER NOT NULL DEFAULT 0,
    height       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (report_id, n)
);

CREATE TABLE patient_images (
    patient_id TEXT   NOT NULL,
    image_id   TEXT   NOT NULL,
    sha256     TEXT   NOT NULL,
    bytes      BIGINT NOT NULL,
    media_type TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    PRIMARY KEY (patient_id, image_id)
);
