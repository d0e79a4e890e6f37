/**
 * A private Ceph cluster of one monitor, one manager, one OSD and one S3 gateway, all on 127.0.0.1 and all below one
 * directory: the S3 server the suite trusts most (If-None-Match, versions, ListMultipartUploads, real signatures).
 *
 * The OSD keeps everything in memory (memstore), so a stopped cluster has lost its data and is made again by the next
 * start. Needs Debian's ceph-mon, ceph-mgr, ceph-osd and radosgw; runs as any user; touches no system service.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { answersHttp, isOurs, logTail, startDaemon, stopDaemon, until } from './s3-daemons.mjs'
import { freePort } from './ports.mjs'

const execute = promisify(execFile)

/** What has to be on the PATH. */
export const RADOSGW_COMMANDS = ['ceph', 'ceph-mon', 'ceph-mgr', 'ceph-osd', 'radosgw', 'radosgw-admin', 'monmaptool']

/**
 * @typedef {{ endpoint: string, accessKeyId: string, secretAccessKey: string, region: string, pids: number[] }} S3Instance
 * @typedef {(line: string) => void} Log
 */

/**
 * Ceph 16.2 lets a client or daemon send its first command when it has the monitor's address but not yet the cluster's
 * id. The monitor refuses it, and a daemon ends. This happens on a busy machine. Not asking for the monitor's own
 * configuration (all of ours is in ceph.conf) makes it rarer, not impossible. So a command refused like this is sent
 * again, and a cluster whose daemon ended is made again.
 */
const CEPH_ENV = { ...process.env, CEPH_ARGS: '--no-mon-config' }
const TOO_EARLY = /problem getting command descriptions|wrong fsid/
/** A second user, with only the rights that a bucket's policy gives; its keys end with GUEST and guest. */
const GUEST = 'sealfleet-guest'
const TRIES = 5
const STARTS = 3

/** @param {string} command @param {string[]} args @param {string} cwd */
async function runCeph(command, args, cwd) {
  for (let left = TRIES; ; left -= 1) {
    try {
      return await execute(command, args, { cwd, timeout: 60_000, env: CEPH_ENV })
    } catch (error) {
      if (left === 1 || !TOO_EARLY.test(String(/** @type {{ stderr?: string }} */ (error).stderr))) throw error
    }
  }
}

/**
 * Starts the cluster below `dir`, or returns the one that runs there already. Takes about ten seconds when cold.
 * Throws when a command is missing or a daemon does not come up; the message ends with the tail of its log.
 *
 * @param {{ dir: string, log?: Log }} options
 * @returns {Promise<S3Instance>}
 */
export async function startRadosgw({ dir, log = () => undefined }) {
  const root = resolve(dir)
  const running = await checkRadosgw({ dir: root })
  if (running) return running
  for (let left = STARTS; ; left -= 1) {
    try {
      return await startAfresh(root, log)
    } catch (error) {
      if (left === 1 || !(error instanceof DaemonEnded)) throw error
      log(`radosgw: ${error.message.split('\n', 1)[0]}; once more from the beginning`)
    }
  }
}

/** A daemon of the cluster ended by itself during its start. */
class DaemonEnded extends Error {}

/** @param {string} root @param {Log} log @returns {Promise<S3Instance>} */
async function startAfresh(root, log) {
  await stopRadosgw({ dir: root, log })
  await rm(root, { recursive: true, force: true })
  for (const sub of ['run', 'mon', 'mgr', 'osd', 'rgw', 'log']) await mkdir(join(root, sub), { recursive: true })

  const monPort = await freePort()
  const s3Port = await freePort()
  const conf = join(root, 'ceph.conf')
  await writeFile(conf, cephConf(root, monPort, s3Port))

  /** @type {number[]} */
  const pids = []
  /** @type {Map<string, number>} */
  const daemons = new Map()
  const instance = {
    endpoint: `http://127.0.0.1:${s3Port}`,
    accessKeyId: `SF${randomBytes(9).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(20).toString('hex'),
    region: 'us-east-1',
    pids,
  }
  /** @param {string} command @param {string[]} args */
  const run = async (command, args) => await runCeph(command, args, root)
  /** @param {string} name @param {string} command @param {string[]} args */
  const daemon = async (name, command, args) => {
    const logFile = join(root, 'log', `${name}.out`)
    const pid = await startDaemon({ command, args, cwd: root, logFile, env: CEPH_ENV })
    daemons.set(command, pid)
    pids.push(pid)
    await saveState(root, instance)
  }

  try {
    log('radosgw: monitor')
    await run('monmaptool', ['--create', '--clobber', '--addv', 'a', `[v1:127.0.0.1:${monPort}]`, join(root, 'monmap')])
    await run('ceph-mon', ['-c', conf, '--mkfs', '-i', 'a', '--monmap', join(root, 'monmap')])
    await daemon('mon', 'ceph-mon', ['-c', conf, '-i', 'a', '-f'])
    await run('ceph', ['-c', conf, '--connect-timeout', '30', 'mon', 'stat'])
    await daemon('mgr', 'ceph-mgr', ['-c', conf, '-i', 'x', '-f'])

    log('radosgw: object store daemon (memory)')
    await run('ceph-osd', ['-c', conf, '-i', '0', '--mkfs'])
    const osdUuid = (await readFile(join(root, 'osd', 'fsid'), 'utf8')).trim()
    await run('ceph', ['-c', conf, '--connect-timeout', '30', 'osd', 'new', osdUuid])
    await daemon('osd', 'ceph-osd', ['-c', conf, '-i', '0', '-f'])

    log('radosgw: gateway')
    await daemon('rgw', 'radosgw', ['-c', conf, '-n', 'client.rgw', '-f'])
    await until(
      async () => {
        for (const [name, pid] of daemons) if (!(await isOurs(pid, root))) throw new DaemonEnded(`${name} ended`)
        return await answersHttp(instance.endpoint)
      },
      { timeoutMs: 90_000, what: 'the S3 gateway to answer' },
    )
    const user = ['user', 'create', '--uid', 'sealfleet', '--display-name', 'sealfleet']
    const keys = ['--access-key', instance.accessKeyId, '--secret-key', instance.secretAccessKey]
    await run('radosgw-admin', ['-c', conf, '-n', 'client.rgw', ...user, ...keys])
    const guest = ['user', 'create', '--uid', GUEST, '--display-name', GUEST]
    const itsKeys = ['--access-key', `${instance.accessKeyId}GUEST`, '--secret-key', `${instance.secretAccessKey}guest`]
    await run('radosgw-admin', ['-c', conf, '-n', 'client.rgw', ...guest, ...itsKeys])
  } catch (error) {
    const tail = await logTail(join(root, 'log'))
    await stopRadosgw({ dir: root, log })
    const Kind = error instanceof DaemonEnded ? DaemonEnded : Error
    throw new Kind(`the private radosgw did not start: ${String(error)}\n${tail}`, { cause: error })
  }
  await saveState(root, { ...instance, ready: true, guest: true })
  log(`radosgw: ${instance.endpoint}`)
  return instance
}

/**
 * The instance below `dir` when all its daemons run and the gateway answers, else undefined.
 *
 * @param {{ dir: string }} options
 * @returns {Promise<S3Instance | undefined>}
 */
export async function checkRadosgw({ dir }) {
  const root = resolve(dir)
  const state = await loadState(root)
  if (!state?.ready || !state.guest) return undefined
  for (const pid of state.pids) if (!(await isOurs(pid, root))) return undefined
  if (!(await answersHttp(state.endpoint))) return undefined
  const { endpoint, accessKeyId, secretAccessKey, region, pids } = state
  return { endpoint, accessKeyId, secretAccessKey, region, pids }
}

/**
 * Ends the daemons recorded below `dir`, and only those. The data is gone afterwards (memstore).
 *
 * @param {{ dir: string, log?: Log }} options
 */
export async function stopRadosgw({ dir, log = () => undefined }) {
  const root = resolve(dir)
  const state = await loadState(root)
  if (!state) return
  log('radosgw: stopping')
  await Promise.all(state.pids.toReversed().map((pid) => stopDaemon(pid, root)))
  await rm(join(root, 'instance.json'), { force: true })
}

/**
 * @param {string} root
 * @returns {Promise<(S3Instance & { ready?: boolean, guest?: boolean }) | undefined>}
 */
async function loadState(root) {
  try {
    return JSON.parse(await readFile(join(root, 'instance.json'), 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError || /** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * @param {string} root
 * @param {S3Instance & { ready?: boolean, guest?: boolean }} state
 */
async function saveState(root, state) {
  const file = join(root, 'instance.json')
  await writeFile(`${file}.new`, JSON.stringify(state, null, 2), { mode: 0o600 })
  await rename(`${file}.new`, file)
}

/**
 * Why these settings: no authentication inside one machine's loopback; one copy of everything; memstore needs a
 * size, its default of 1 GiB is full at once; msgr2 off so that one port a monitor is enough. The monitor's address says
 * v1: on a port that is not 6789 it is taken for a msgr2 address, and OSD and gateway then never find it.
 *
 * @param {string} root
 * @param {number} monPort
 * @param {number} s3Port
 */
function cephConf(root, monPort, s3Port) {
  return `[global]
fsid = ${crypto.randomUUID()}
mon_host = v1:127.0.0.1:${monPort}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_bind_msgr2 = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
mon_data_avail_warn = 1
osd_objectstore = memstore
memstore_device_bytes = 8589934592
run_dir = ${root}/run
admin_socket = ${root}/run/$cluster-$name.$pid.asok
pid_file = ${root}/run/$name.pid
crash_dir = ${root}/run
mon_data = ${root}/mon
mgr_data = ${root}/mgr
osd_data = ${root}/osd
log_file = ${root}/log/$name.log
log_to_stderr = false
err_to_stderr = true
mon_cluster_log_file = ${root}/log/cluster.log
mgr_initial_modules =

[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:${s3Port}
rgw_data = ${root}/rgw
log_file = ${root}/log/rgw.log
rgw_enable_usage_log = false
rgw_enable_gc_threads = true
rgw_gc_obj_min_wait = 60
rgw_gc_processor_period = 60
`
}
