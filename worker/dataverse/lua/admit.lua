-- Lets one request of the fleet pass, or says what it has to wait for. Redis's clock is the only one that counts.
--
-- KEYS: pause, inflight, pace, ceiling
-- ARGV: the request's own id, milliseconds for which it holds its place, the most requests at a time,
--       requests a second at full pace, milliseconds after which a lowered ceiling rises by one
-- Answers {verdict, milliseconds to wait, limit}; for 'go' the share of the full pace in thousandths, -1 unpaced.

local pause, inflight, pace, ceiling = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, hold, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local full_pace, calm = tonumber(ARGV[4]), tonumber(ARGV[5])

local paused_for = redis.call('PTTL', pause)
if paused_for > 0 then
  return {'paused', paused_for, redis.call('GET', pause)}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = redis.call('HMGET', ceiling, 'hint', 'lowered', 'changed_at')
local hint, lowered, changed_at = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
local top = math.max(1, math.min(most, hint or most))
if lowered then
  local steps = math.max(0, math.floor((now - changed_at) / calm))
  lowered = lowered + steps
  if lowered >= top then
    redis.call('HDEL', ceiling, 'lowered', 'changed_at')
  elseif steps > 0 then
    redis.call('HSET', ceiling, 'lowered', lowered, 'changed_at', changed_at + steps * calm)
  end
  top = math.min(top, lowered)
end
redis.call('ZREMRANGEBYSCORE', inflight, '-inf', now)
if redis.call('ZCARD', inflight) >= top and not redis.call('ZSCORE', inflight, id) then
  return {'full', 20, 'concurrency'}
end

local bucket = redis.call('HMGET', pace, 'share', 'tokens', 'at', 'limit')
local share = tonumber(bucket[1])
if share then
  local rate = full_pace * share / 1000
  local tokens = tonumber(bucket[2]) + math.max(0, now - tonumber(bucket[3])) * rate
  tokens = math.min(tokens, math.max(1, rate * 1000))
  local passes = tokens >= 1
  redis.call('HSET', pace, 'tokens', passes and tokens - 1 or tokens, 'at', now)
  if not passes then
    return {'paced', math.ceil((1 - tokens) / rate), bucket[4]}
  end
end

redis.call('ZADD', inflight, now + hold, id)
redis.call('PEXPIRE', inflight, hold)
return {'go', share and math.floor(share * 1000) or -1, ''}
