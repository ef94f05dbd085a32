-- How old history is, in lived time: what is pruned was lived through. What is there now counts from
-- now.
ALTER TABLE generations ADD COLUMN made_lived BIGINT NOT NULL DEFAULT 0;
UPDATE generations SET made_lived = (SELECT milliseconds FROM lived_time WHERE id = 1);

-- When the pod was last seen: by a report, or by a review of its token.
ALTER TABLE agent_holdings ADD COLUMN seen_lived BIGINT NOT NULL DEFAULT 0;
UPDATE agent_holdings SET seen_lived = (SELECT milliseconds FROM lived_time WHERE id = 1);

-- When the version last stopped being the active one.
ALTER TABLE secret_versions ADD COLUMN archived_lived BIGINT;
UPDATE secret_versions SET archived_lived = (SELECT milliseconds FROM lived_time WHERE id = 1)
WHERE rotation_status = 'archived';

-- What generations from before this time held is not known any more, where any was pruned.
ALTER TABLE bundles ADD COLUMN known_since BIGINT;
