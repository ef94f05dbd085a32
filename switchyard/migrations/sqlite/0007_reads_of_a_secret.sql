-- Who read a secret is asked of the events of one resource and one action, newest first. Without the
-- action in the index, SQLite takes the index of all events of the action.
DROP INDEX audit_events_by_resource;
CREATE INDEX audit_events_of_a_resource ON audit_events (scope, resource_id, action, sequence);

-- The sessions of a person: the newest one has the groups.
CREATE INDEX api_tokens_by_subject ON api_tokens (subject, id) WHERE kind = 'session';
