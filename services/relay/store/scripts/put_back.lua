#!lua flags=allow-oom
-- Writes the stored instances anew into a Redis that was emptied: all of them or none, for whoever looks takes what
-- stands beside a version for the whole. Several services may do so at the same time; the first one counts.
-- allow-oom: records are small, and without them nothing can be taken out of a full Redis.
--
-- KEYS  records, identities, version
-- ARGV  1 a random word: the new version
--       then for each instance: slug, record, the digest of its identity
--
-- Returns 1, or 0 when there is a version already: it is not empty, or not any more.
local records, identities, version = unpack(KEYS)
local found = redis.call('GET', version)
if found and found ~= ARGV[1] then return 0 end -- our own: this very call, repeated; it writes again for WAIT

for i = 2, #ARGV, 3 do
  redis.call('HSET', records, ARGV[i], ARGV[i + 1])
  redis.call('HSET', identities, ARGV[i + 2], ARGV[i])
end
redis.call('SET', version, ARGV[1])
return 1
