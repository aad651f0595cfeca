-- Ends a command whose time is up, and says how far it came. After this it is never handed out.
--
-- KEYS  waiting, handed
-- ARGV  1 operation id
--
-- Returns "undelivered", "unanswered", or "gone" (answered, or never known).
local waiting, handed = unpack(KEYS)
if redis.call('ZREM', waiting, ARGV[1]) == 1 then return 'undelivered' end
if redis.call('ZREM', handed, ARGV[1]) == 1 then return 'unanswered' end
return 'gone'
