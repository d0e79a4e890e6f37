/**
 * Terms. An *operator* is a person enrolled with an Ed25519 public key; a name typed on a command line is not one. A
 * *request* states, in bytes that never change, an action on one *subject*; operators *sign* those bytes away from the
 * server. The process that carries it out *consumes* it: it is used once, and not after it has expired.
 */
export type OperatorRole = 'officer' | 'auditor'

interface KindPolicy {
  /** The roles whose signatures count. */
  readonly roles: readonly OperatorRole[]
  /**
   * The least number of signatures of different operators for any request of this kind, whatever the request itself
   * says.
   */
  readonly atLeast: number
}

/** The actions that need signatures, and the roles that sign. */
export const REQUEST_KINDS = {
  'keys.destroy': { roles: ['officer'], atLeast: 2 },
  'file.shred': { roles: ['officer'], atLeast: 2 },
  'operators.add': { roles: ['officer'], atLeast: 2 },
  'operators.revoke': { roles: ['officer'], atLeast: 2 },
  'audit.adopt': { roles: ['officer', 'auditor'], atLeast: 2 },
} as const satisfies Record<string, KindPolicy>

export type RequestKind = keyof typeof REQUEST_KINDS

/** The largest number of signatures that a request can require. */
export const MOST_SIGNATURES = 5

export function isRequestKind(value: unknown): value is RequestKind {
  return typeof value === 'string' && Object.hasOwn(REQUEST_KINDS, value)
}

export function maySign(role: OperatorRole, kind: RequestKind): boolean {
  const roles: readonly OperatorRole[] = REQUEST_KINDS[kind].roles
  return roles.includes(role)
}
