#!lua flags=allow-oom
-- Stores an event that Takaro refused as a dead letter. It may run when the memory is full: delivery waits for it, and
-- only delivery frees memory. The stream is bounded.
--
-- KEYS  dead
-- ARGV  1 max_dead, 2 reason, 3 detail, 4 raw
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'reason', ARGV[2], 'detail', ARGV[3], 'raw', ARGV[4])
return 1
