import { Prisma } from '../generated/client.js'

/** Whether the attempt `a` was sealed under this version of its domain's enc or sig key. */
export function underVersion(domainId: string, version: number): Prisma.Sql {
  const keys = Prisma.sql`SELECT k.id FROM master_keys k
    WHERE k.domain_id = ${domainId}::uuid AND k.role IN ('ENC', 'SIG') AND k.version = ${version}::int`
  return Prisma.sql`(a.enc_key_id IN (${keys}) OR a.sig_key_id IN (${keys}))`
}
