import { isIP } from 'node:net'
import { isDecodable } from './url.js'

/**
 * How a dependency is reached. `local`: by this machine's loopback or a socket in its file system; `tls`: encrypted,
 * and the server's certificate is checked; `unverified`: encrypted, but to an unchecked server; `plaintext`: neither.
 */
export type Transport = 'local' | 'tls' | 'unverified' | 'plaintext'

/** Whether an address never leaves this machine: 127.0.0.0/8, ::1 (also written as IPv4 in IPv6), localhost, a path. */
export function isLocal(host: string): boolean {
  const bare = (isDecodable(host) ? decodeURIComponent(host) : host).replace(/^\[|\]$/g, '')
  if (bare.startsWith('/') || bare.startsWith('@')) return true
  if (isIP(bare) === 4) return bare.startsWith('127.')
  // URLs write IPv4 in IPv6 as two groups of hexadecimal digits.
  if (isIP(bare) === 6) return bare === '::1' || /^::ffff:(127\.|7f[0-9a-f]{2}:)/i.test(bare)
  return /^(.*\.)?localhost\.?$/i.test(bare)
}

export function redisTransport(url: string): Transport {
  const { protocol, hostname } = new URL(url)
  if (protocol === 'rediss:') return 'tls'
  return isLocal(hostname) ? 'local' : 'plaintext'
}

export function s3Transport(endpoint: string | undefined): Transport {
  if (endpoint === undefined) return 'tls'
  const { protocol, hostname } = new URL(endpoint)
  if (protocol === 'https:') return 'tls'
  return isLocal(hostname) ? 'local' : 'plaintext'
}

/** Modes of the URL in which the driver encrypts and checks; `require` and `verify-ca` check as `verify-full` does. */
const CHECKED = new Set(['require', 'verify-ca', 'verify-full'])
const UNCHECKED = new Set(['no-verify', 'prefer', 'allow'])

/** @param hasTls whether TLS settings are given, which imply `sslmode=verify-full` when the URL has no mode */
export function databaseTransport(url: string, hasTls: boolean): Transport {
  const { hostname, searchParams } = new URL(url)
  const hosts = (searchParams.get('host') ?? hostname).split(',')
  if (hosts.every(isLocal)) return 'local'
  const mode = searchParams.get('sslmode')
  // libpq's own meaning: only its strictest mode compares the name.
  const lax = searchParams.get('uselibpqcompat') === 'true'
  if (mode === null) return hasTls || isTrue(searchParams.get('ssl')) ? 'tls' : 'plaintext'
  if (mode === 'verify-full' || (CHECKED.has(mode) && !lax)) return 'tls'
  return UNCHECKED.has(mode) || CHECKED.has(mode) ? 'unverified' : 'plaintext'
}

function isTrue(value: string | null): boolean {
  return value === 'true' || value === '1'
}

/** The status servers and the dashboard speak plain HTTP, so the address they listen on decides. */
export function opsTransport(host: string): Transport {
  return isLocal(host) ? 'local' : 'plaintext'
}
