-- What an attempt made of a case report stands in one row, which nothing has to make room for: rows are added in about the order of
-- the log. In the columns of case_reports and of case_report_images where it stood before, each result made rows grow that lay
-- between others, and each image was a statement more. Rows of earlier versions stay there, so that opening a large database takes
-- no time; see package tasks.

CREATE TABLE case_report_results (
    sequence  INTEGER NOT NULL PRIMARY KEY, -- of the report
    result    TEXT    NOT NULL, -- JSON
    check_sum BIGINT  NOT NULL  -- of the id of the report and result
);
