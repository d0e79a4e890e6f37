import { randomBytes } from 'node:crypto'

/** Twelve random hexadecimal digits: for names on shared servers, where tests run in parallel. */
export function freshHex(): string {
  return randomBytes(6).toString('hex')
}

/**
 * A BullMQ prefix that no other test uses; in braces, so that a Redis Cluster would keep its keys on one node.
 *
 * @example
 * new Queue('ingest', { connection, prefix: freshPrefix() })   // '{sealfleet-test-0a1b2c3d4e5f}'
 */
export function freshPrefix(): string {
  return `{sealfleet-test-${freshHex()}}`
}
