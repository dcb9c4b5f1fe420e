// The `mysql2` package.
'use strict'

const mysql = require('mysql2/promise')
const { run, ready, tls, describe } = require('./common.cjs')

const security = (target) => {
  const mode = target.sslmode ?? (target.verify ? 'verify-full' : 'require')
  if (mode === 'disable') return undefined
  return { ...tls(target), rejectUnauthorized: mode.startsWith('verify-'), verifyIdentity: mode === 'verify-full' }
}

const connect = (target) =>
  mysql.createConnection({
    host: target.host,
    port: target.port,
    user: target.user,
    password: target.password ?? undefined,
    database: target.dbname ?? undefined,
    ssl: security(target),
    connectTimeout: 20000,
  })

const identity = async (connection) => {
  const [[{ who }]] = await connection.query('select @@report_host as who')
  return { who, ...describe(connection.connection.stream) }
}

const whoami = async (target) => {
  const connection = await connect(target)
  const answer = await identity(connection)
  await connection.end()
  return answer
}

const idle = async (target) => {
  const connection = await connect(target)
  await ready()
  return identity(connection)
}

run('node-mysql2', { whoami, idle })
