// ioredis. It sends a server name only when told, as `tls.servername`.
'use strict'

const Redis = require('ioredis')
const { run, ready, tls, describe, rows, Digest, compare } = require('./common.cjs')

const connect = async (target) => {
  const servername = target.sni ? { servername: target.host } : {}
  const redis = new Redis({
    host: target.host,
    port: target.port,
    password: target.password ?? undefined,
    tls: target.sslmode === 'disable' ? undefined : { ...tls(target), ...servername },
    lazyConnect: true,
    retryStrategy: null, // the first failure is the answer
    connectTimeout: 20000,
  })
  let cause
  redis.on('error', (error) => (cause = error))
  try {
    await redis.connect()
  } catch (error) {
    throw cause ?? error // the rejection itself says only that the connection is closed
  }
  return redis
}

const identity = async (redis) => ({ who: await redis.get('whoami'), ...describe(redis.stream) })

const whoami = async (target) => identity(await connect(target))

const idle = async (target) => {
  const redis = await connect(target)
  await ready()
  return identity(redis)
}

const pump = async (target) => {
  const [sent, received] = [new Digest(), new Digest()]
  const redis = await connect(target)
  for (const row of rows(target.mib)) await redis.rpush('pump:ioredis', sent.add(row))
  for (const row of await redis.lrange('pump:ioredis', 0, -1)) received.add(row)
  await redis.del('pump:ioredis')
  return { ...(await identity(redis)), ...compare(target.mib, sent, null, received) }
}

run('ioredis', { whoami, idle, pump })
