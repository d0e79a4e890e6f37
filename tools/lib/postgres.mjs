/** A private Postgres: loopback TCP only, passwords (SCRAM), no Unix socket, its own data directory. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { appendFile, chown, rename, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { startDaemon } from './daemon.mjs'
import { makePassable, secretIn, writeWhole } from './files.mjs'
import { findPostgres } from './find-tools.mjs'
import { findLost } from './processes.mjs'
import { processService } from './process-service.mjs'
import { Refusal } from './say.mjs'
import { ownDirectory, plainEnvironment, serviceUser } from './service-user.mjs'

const SUPERUSER = 'sealfleet_admin'

/**
 * The folder of Postgres's programs; of the major version that made the cluster, when there is one.
 *
 * @param {string} [data]
 */
function programs(data) {
  const version =
    data && existsSync(join(data, 'PG_VERSION')) ? readFileSync(join(data, 'PG_VERSION'), 'utf8').trim() : ''
  const folder = findPostgres(version)
  if (folder) return folder
  throw new Refusal(
    version
      ? `Postgres ${version} made ${data}, but is no longer installed: \`apt-get install postgresql-${version}\`.`
      : 'Postgres is not installed: `npm run setup` installs it, or says how.',
  )
}

/**
 * The cluster is `data` below a directory of the service user. Its place has to be recorded, because it may be outside
 * the home (service-user.mjs).
 *
 * @param {string} home
 */
function recordedOwner(home) {
  const record = join(home, 'postgres', 'directory')
  const known = existsSync(record) ? readFileSync(record, 'utf8').trim() : undefined
  return known && existsSync(known) ? known : undefined
}

/** @param {string} home @param {import('./service-user.mjs').ServiceUser | undefined} user */
async function ownerDirectory(home, user) {
  const known = recordedOwner(home)
  if (known) return known
  await makePassable(join(home, 'postgres'))
  const directory = await ownDirectory(join(home, 'postgres', 'cluster'), user)
  await writeWhole(join(home, 'postgres', 'directory'), directory)
  return directory
}

export const postgres = processService({
  program: 'postgres',
  directory: (home) => join(recordedOwner(home) ?? join(home, 'postgres', 'cluster'), 'data'),
  stopSignal: 'SIGINT', // "fast": clients are disconnected, nothing is lost

  async start({ home, port, log, durable }) {
    const user = await serviceUser()
    const owned = await ownerDirectory(home, user)
    const data = join(owned, 'data')
    const env = plainEnvironment(user)
    if (!existsSync(data)) await makeCluster({ home, owned, env, user })
    await removeDeadPidFile(data)
    const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories=']
    // Test data may be lost in a power failure, not with the process: the first two settings give up only that. Databases
    // that live for seconds, hundreds of them, are neither vacuumed nor copied to another server.
    if (!durable)
      settings.push('fsync=off', 'full_page_writes=off', 'autovacuum=off', 'wal_level=minimal', 'max_wal_senders=0')
    const args = ['-D', data, ...settings.flatMap((setting) => ['-c', setting])]
    const ready = (/** @type {string} */ output) => output.includes('system is ready to accept connections')
    const command = join(programs(data), 'postgres')
    return await startDaemon({ name: 'Postgres', command, args, cwd: data, env, log, ready, ...(user && { user }) })
  },

  async answers({ home, port }) {
    try {
      return (await query({ home, port, sql: 'select 1' })) === '1'
    } catch (error) {
      if (error instanceof Refusal) return false
      throw error
    }
  },
})

/**
 * Makes the cluster under another name first, so that `data` is either missing or complete.
 *
 * @param {{ home: string, owned: string, env: NodeJS.ProcessEnv, user: import('./service-user.mjs').ServiceUser | undefined }} options
 */
async function makeCluster({ home, owned, env, user }) {
  const unfinished = join(owned, 'data.unfinished')
  await rm(unfinished, { recursive: true, force: true })
  const passwordFile = join(owned, 'password.tmp')
  await writeWhole(passwordFile, await secretIn(join(home, 'postgres', 'password')))
  if (user) await chown(passwordFile, user.uid, user.gid)
  const args = ['-D', unfinished, '-U', SUPERUSER, '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8']
  const identity = user && { uid: user.uid, gid: user.gid }
  try {
    const made = spawn(join(programs(), 'initdb'), [...args, '--locale=C.UTF-8'], { cwd: owned, env, ...identity })
    let output = ''
    made.stdout.on('data', (text) => (output += String(text)))
    made.stderr.on('data', (text) => (output += String(text)))
    const [code] = await once(made, 'close')
    if (code !== 0) throw new Refusal(`initdb failed (${code}):\n${output}`)
  } finally {
    await rm(passwordFile, { force: true })
  }
  await appendFile(join(unfinished, 'postgresql.conf'), 'max_connections = 200\n')
  await rename(unfinished, join(owned, 'data'))
}

/**
 * Postgres refuses to start when the pid in its lock file belongs to any process of its user, which after a reboot may
 * be another program's. The file is removed when that process does not work in this data directory.
 *
 * @param {string} data
 */
async function removeDeadPidFile(data) {
  const file = join(data, 'postmaster.pid')
  if (!existsSync(file)) return
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0])
  if (!findLost(realpathSync(data), 'postgres').some((found) => found.pid === pid)) await rm(file)
}

/**
 * The superuser's address, for tests and for making the application's role.
 *
 * @param {string} home
 * @param {number} port
 * @param {string} [database]
 */
export async function adminUrl(home, port, database = 'postgres') {
  const password = await secretIn(join(home, 'postgres', 'password'))
  return `postgresql://${SUPERUSER}:${password}@127.0.0.1:${port}/${database}`
}

/**
 * A database and a role that owns it and has no other rights, both made when missing.
 *
 * @param {{ home: string, port: number, name: string }} options `name` of both
 * @returns {Promise<string>} the role's address
 */
export async function applicationDatabase({ home, port, name }) {
  const password = await secretIn(join(home, 'postgres', `password-${name}`))
  const known = await query({ home, port, sql: `select 1 from pg_roles where rolname = '${name}'` })
  const verb = known === '1' ? 'alter' : 'create'
  await query({ home, port, sql: `${verb} role ${name} login password '${password}'` })
  const made = await query({ home, port, sql: `select 1 from pg_database where datname = '${name}'` })
  if (made !== '1') await query({ home, port, sql: `create database ${name} owner ${name}` })
  return `postgresql://${name}:${password}@127.0.0.1:${port}/${name}`
}

/**
 * Runs one statement by psql; SQL is passed by stdin and the password by the environment, so neither shows in a process
 * list.
 *
 * @param {{ home: string, port: number, sql: string }} options
 * @returns {Promise<string>} the rows, unaligned
 */
async function query({ home, port, sql }) {
  const password = await secretIn(join(home, 'postgres', 'password'))
  const folder = programs()
  const env = {
    ...{ PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', PGPASSWORD: password, PGCONNECT_TIMEOUT: '5' },
    ...{ PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: SUPERUSER, PGDATABASE: 'postgres' },
  }
  const args = ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', '-']
  const child = spawn(join(folder, 'psql'), args, { cwd: dirname(folder), env, stdio: ['pipe', 'pipe', 'pipe'] })
  let rows = ''
  let errors = ''
  child.stdout.on('data', (text) => (rows += String(text)))
  child.stderr.on('data', (text) => (errors += String(text)))
  child.stdin.end(sql)
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Refusal(`Postgres on port ${port} does not answer (psql ${code}): ${errors.trim()}`)
  return rows.trim()
}
