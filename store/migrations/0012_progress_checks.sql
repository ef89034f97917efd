-- What sending has found out is checked, too, whenever it is read. 0 stands in rows of earlier versions, and means that there is
-- none until the row is written again.

ALTER TABLE webhook_endpoints ADD COLUMN progress_check_sum BIGINT NOT NULL DEFAULT 0; -- of id, state, changed, generation, reason and position
ALTER TABLE webhook_deliveries ADD COLUMN check_sum BIGINT NOT NULL DEFAULT 0; -- of all columns above
