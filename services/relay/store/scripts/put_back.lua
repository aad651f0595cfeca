#!lua flags=allow-oom
-- Writes the stored instances into a Redis that was emptied: all or none, because a reader takes the records beside a
-- version for complete. Several services may run it at the same time; the first one counts.
-- It may run when the memory is full: records are small, and without them nothing can be delivered from a full Redis.
--
-- KEYS  records, identities, version
-- ARGV  1 a random word: the new version
--       then for each instance: slug, record, the digest of its identity
--
-- Returns 1, or 0 if there is a version already: Redis was not emptied, or another service was faster.
local records, identities, version = unpack(KEYS)
local found = redis.call('GET', version)
if found and found ~= ARGV[1] then return 0 end -- our own version: this same call, repeated; it writes again for WAIT

for i = 2, #ARGV, 3 do
  redis.call('HSET', records, ARGV[i], ARGV[i + 1])
  redis.call('HSET', identities, ARGV[i + 2], ARGV[i])
end
redis.call('SET', version, ARGV[1])
return 1
