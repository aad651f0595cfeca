-- Looks over many instances at once: is there anything to fetch, and when was the mod last heard of?
--
-- KEYS  for each instance: events, results, contact
--
-- Returns now_ms, then for each instance: batches that wait, results that wait, contact_ms or 0.
local time = redis.call('TIME')
local found = {time[1] * 1000 + math.floor(time[2] / 1000)}
for i = 1, #KEYS, 3 do
  found[#found + 1] = redis.call('XLEN', KEYS[i])
  found[#found + 1] = redis.call('XLEN', KEYS[i + 1])
  found[#found + 1] = tonumber(redis.call('GET', KEYS[i + 2])) or 0
end
return found
