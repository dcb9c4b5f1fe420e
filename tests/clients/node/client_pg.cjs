// node-postgres, the `pg` package.
'use strict'

const { Client } = require('pg')
const { run, ready, tls, describe, rows, Digest, compare, until } = require('./common.cjs')

const SLEEP = 'select pg_sleep(60)'

const configured = (target) =>
  new Client({
    host: target.host,
    port: target.port,
    user: target.user,
    password: target.password ?? undefined,
    database: target.dbname,
    ssl: target.sslmode === 'disable' ? false : tls(target),
    sslnegotiation: target.sslnegotiation ?? undefined,
    enableChannelBinding: ['prefer', 'require'].includes(target.channel_binding),
    connectionTimeoutMillis: 20000,
  })

const connect = async (target) => {
  const client = configured(target)
  await client.connect()
  return client
}

const identity = async (client) => {
  const { rows: [{ cluster_name: who }] } = await client.query('show cluster_name')
  return { who, ...describe(client.connection.stream) }
}

const whoami = async (target) => {
  const client = await connect(target)
  const answer = await identity(client)
  await client.end()
  return answer
}

const idle = async (target) => {
  const client = await connect(target)
  await ready()
  return identity(client)
}

const pump = async (target) => {
  const [sent, received] = [new Digest(), new Digest()]
  const client = await connect(target)
  await client.query('create temp table pump (n int, chunk text)')
  let n = 0
  for (const row of rows(target.mib)) {
    await client.query('insert into pump values ($1, $2)', [n, sent.add(row)])
    n += 1
  }
  const sum = await client.query(
    "select encode(sha256(string_agg(chunk, '' order by n)::bytea), 'hex') as stored from pump",
  )
  const back = await client.query('select chunk from pump order by n')
  for (const { chunk } of back.rows) received.add(chunk)
  return { ...(await identity(client)), ...compare(target.mib, sent, sum.rows[0].stored, received) }
}

const sleepCancel = async (target) => {
  const [watcher, sleeper, canceller] = [await connect(target), await connect(target), configured(target)]
  // The driver knows the running query by the very object that was given to it.
  const { Query } = require('pg')
  const ended = new Promise((resolve) => {
    const query = new Query(SLEEP)
    query.once('end', () => resolve(null)).once('error', resolve)
    sleeper.query(query)
    sleeper.sleeping = query
  })
  const sleeping = `select count(*)::int as n from pg_stat_activity where state = 'active' and query = $1 and pid = $2`
  await until(
    async () => (await watcher.query(sleeping, [SLEEP, sleeper.processID])).rows[0].n === 1,
    20,
    'sleeping',
  )
  // A gateway may well close this connection hard: that is no answer to the question.
  canceller.connection.on('error', (error) => console.error('cancel:', error.message))
  canceller.cancel(sleeper, sleeper.sleeping)
  const late = new Promise((resolve) => setTimeout(resolve, target.timeout * 1000, null))
  const error = await Promise.race([ended, late])
  return { cancelled: error?.code === '57014', transport: 'plaintext', detail: error?.message }
}

run('node-postgres', { whoami, idle, pump, sleep_cancel: sleepCancel })
