import type { RequestHandler } from 'express'
import { isIP } from 'node:net'

/**
 * True for a Host header that a foreign web page cannot make a browser send here.
 *
 * DNS rebinding points a *domain name* of the attacker's at 127.0.0.1; the browser then sends that name as Host. So
 * addresses are fine, and so are names without a dot (`localhost`, a container's service name), which no one outside can
 * register, and the name that was configured. The port is not looked at: tunnels change it.
 */
export function isTrustedHost(host: string | undefined, configured: string): boolean {
  if (host === undefined) return false
  const name = hostName(host)
  if (name === undefined) return false
  return isIP(name) !== 0 || /^[a-z0-9_-]+$/.test(name) || name === configured.toLowerCase()
}

/** The name in `name`, `name:port` or `[v6]:port`, in lower case; undefined for anything else. */
function hostName(host: string): string | undefined {
  const [, v6, name] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?$/.exec(host) ?? []
  return (v6 ?? name)?.toLowerCase()
}

/** Refuses other hosts with 421, without details. */
export function guardHost(configured: string): RequestHandler {
  return (request, response, next) => {
    if (isTrustedHost(request.headers.host, configured)) return next()
    response.status(421).type('text/plain').send('This host name is not served here. Use the address it listens on.\n')
  }
}

/** Nothing here changes anything: other methods than GET and HEAD are refused before any handler sees them. */
export const guardMethod: RequestHandler = (request, response, next) => {
  if (request.method === 'GET' || request.method === 'HEAD') return next()
  response.status(405).set('Allow', 'GET, HEAD').type('text/plain').send('This dashboard is read-only.\n')
}

/**
 * Bull Board's page has style elements and style attributes of its own, scripts only as files; its configuration is a
 * JSON data block, which script-src doesn't touch. Its link to a font server is blocked on purpose: this page
 * connects to no other server.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': POLICY,
  'X-Frame-Options': 'DENY',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  'X-Robots-Tag': 'noindex',
  // Jobs name files; a shared cache or the browser's disk is no place for them. Static files set their own below.
  'Cache-Control': 'no-store',
}

export const securityHeaders: RequestHandler = (_request, response, next) => {
  response.set(HEADERS)
  next()
}
