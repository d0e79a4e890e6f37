/** The peer of the benchmarks of a whole fleet: `rclone crypt` on the same store. */
import { execFileSync, spawnSync } from 'node:child_process'
import { Refusal } from '../../lib/say.mjs'
import { cpuOfEndedChildren } from './cpu.mjs'

/** @typedef {{ endpoint: string, region: string, bucket: string, accessKeyId: string, secretAccessKey: string }} Bucket */

export function requireRclone() {
  if (spawnSync('rclone', ['version']).status !== 0)
    throw new Refusal('rclone is not installed: `apt-get install rclone`, or leave --peer out')
}

/**
 * Runs rclone; `c:` is an encrypted remote in the bucket, `s:` the bucket's server. Seconds elapsed, and seconds of CPU.
 *
 * @param {Bucket} bucket @param {string} prefix where in the bucket `c:` lies @param {readonly string[]} args
 */
export function rclone(bucket, prefix, args) {
  const env = {
    PATH: process.env['PATH'],
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_S_TYPE: 's3',
    RCLONE_CONFIG_S_PROVIDER: 'Ceph',
    RCLONE_CONFIG_S_ENDPOINT: bucket.endpoint,
    RCLONE_CONFIG_S_REGION: bucket.region,
    RCLONE_CONFIG_S_ACCESS_KEY_ID: bucket.accessKeyId,
    RCLONE_CONFIG_S_SECRET_ACCESS_KEY: bucket.secretAccessKey,
    RCLONE_CONFIG_C_TYPE: 'crypt',
    RCLONE_CONFIG_C_REMOTE: `s:${bucket.bucket}/${prefix}`,
    RCLONE_CONFIG_C_PASSWORD: execFileSync('rclone', ['obscure', 'a-password-of-the-benchmark'], {
      encoding: 'utf8',
    }).trim(),
  }
  return timed('rclone', ['--s3-no-check-bucket', ...args], env)
}

/**
 * Runs a program to its end; throws a Refusal unless it succeeds.
 *
 * @param {string} program @param {readonly string[]} args @param {Record<string, string | undefined>} env
 */
export function timed(program, args, env) {
  const before = cpuOfEndedChildren()
  const began = performance.now()
  const { status, stderr } = spawnSync(program, args, { env, encoding: 'utf8' })
  const seconds = (performance.now() - began) / 1000
  if (status !== 0) throw new Refusal(`${program} ${args.join(' ')} failed (${status}): ${stderr}`)
  return { seconds, cpu: cpuOfEndedChildren() - before }
}
