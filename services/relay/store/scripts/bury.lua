#!lua flags=allow-oom
-- Keeps a record of an event that Takaro refused. Even in a full memory: delivery waits for it, and only delivery
-- makes room. The stream is bounded.
--
-- KEYS  dead
-- ARGV  1 max_dead, 2 reason, 3 detail, 4 raw
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'reason', ARGV[2], 'detail', ARGV[3], 'raw', ARGV[4])
return 1
