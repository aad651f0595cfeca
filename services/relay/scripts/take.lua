-- Hands waiting commands to the mod that polls. They are marked before the answer is written: if the answer
-- is lost they are lost with it, for a mod runs whatever it gets, twice if it gets it twice.
--
-- KEYS  commands, waiting, handed, contact
-- ARGV  1 max_count, 2 max_bytes (of args), 3 contact_every_ms, 4 forget_after_ms
--
-- Returns a list: operation id, action, args, operation id, action, args...
local commands, waiting, handed, contact = unpack(KEYS)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local taken, count, size, last = {}, 0, 0, nil

for _, entry in ipairs(redis.call('XRANGE', commands, '-', '+', 'COUNT', ARGV[1])) do
  local fields = entry[2]
  local operation, action, args = fields[2], fields[4], fields[6]
  if count > 0 and size + #args > tonumber(ARGV[2]) then break end
  last = entry[1]
  local deadline = redis.call('ZSCORE', waiting, operation)
  if deadline then redis.call('ZREM', waiting, operation) end
  if deadline and tonumber(deadline) > now_ms then
    redis.call('ZADD', handed, deadline, operation)
    taken[#taken + 1] = operation
    taken[#taken + 1] = action
    taken[#taken + 1] = args
    count, size = count + 1, size + #args
  end
  redis.call('XDEL', commands, last)
end

-- Writing costs an fsync, so the time of contact is kept to within contact_every_ms only.
if now_ms - (tonumber(redis.call('GET', contact)) or 0) >= tonumber(ARGV[3]) then
  redis.call('SET', contact, string.format('%d', now_ms))
  redis.call('ZREMRANGEBYSCORE', handed, '-inf', now_ms - ARGV[4])
end
return taken
