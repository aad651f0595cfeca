#!lua flags=allow-oom
-- Changes one stored instance if nobody else has changed it meanwhile: two panels may work at the same time.
-- It may run when the memory is full: a record is small, and an instance that fills Redis must be removable.
--
-- KEYS  records, identities, version, removals
-- ARGV  1 slug, 2 old record ("": none), 3 new record ("": none),
--       4 digest of the identity to release ("": none), 5 digest of the identity to take ("": none),
--       6 when the data is to be deleted, ms ("": not at all), 7 a random word: the new version
--
-- Returns {"done"}; {"changed"} if the record is not the old one any more: the caller reads it again; or
-- {"identity", slug} if that instance has the identity.
local records, identities, version, removals = unpack(KEYS)
local slug, old, new, leave, hold, due = unpack(ARGV)

local current = redis.call('HGET', records, slug) or ''
if current == new then -- this same call, repeated after a lost reply
  redis.call('SET', version, redis.call('GET', version) or ARGV[7]) -- nothing new, for WAIT (run_until in store/client.py)
  return {'done'}
end
if current ~= old then return {'changed'} end
local holder = hold ~= '' and redis.call('HGET', identities, hold)
if holder and holder ~= slug then return {'identity', holder} end

if leave ~= '' and redis.call('HGET', identities, leave) == slug then redis.call('HDEL', identities, leave) end
if hold ~= '' then redis.call('HSET', identities, hold, slug) end
if new == '' then redis.call('HDEL', records, slug) else redis.call('HSET', records, slug, new) end
if due == '' then redis.call('ZREM', removals, slug) else redis.call('ZADD', removals, due, slug) end
redis.call('SET', version, ARGV[7])
return {'done'}
