/**
 * Terms. An *operator* is a person who was enrolled with an Ed25519 public key; a name typed on a command line is no one. A
 * *request* says in bytes that never change what is to be done to one *subject*; operators *sign* those bytes away from the
 * server. Who carries it out *consumes* it: it is used once, and not after it has expired.
 */
export type OperatorRole = 'officer' | 'auditor'

export const OPERATOR_ROLES: readonly OperatorRole[] = ['officer', 'auditor']

interface KindPolicy {
  /** Whose signatures count. */
  readonly roles: readonly OperatorRole[]
  /** Signatures of different operators without which no request of this kind is carried out, whatever it says itself. */
  readonly atLeast: number
}

/** What needs signatures, and whose. */
export const REQUEST_KINDS = {
  'keys.destroy': { roles: ['officer'], atLeast: 2 },
  'file.shred': { roles: ['officer'], atLeast: 2 },
  'operators.add': { roles: ['officer'], atLeast: 2 },
  'operators.revoke': { roles: ['officer'], atLeast: 2 },
  'audit.adopt': { roles: ['officer', 'auditor'], atLeast: 2 },
} as const satisfies Record<string, KindPolicy>

export type RequestKind = keyof typeof REQUEST_KINDS

/** At most so many signatures can be asked for. */
export const MOST_SIGNATURES = 5

export function isRequestKind(value: unknown): value is RequestKind {
  return typeof value === 'string' && Object.hasOwn(REQUEST_KINDS, value)
}

export function maySign(role: OperatorRole, kind: RequestKind): boolean {
  const roles: readonly OperatorRole[] = REQUEST_KINDS[kind].roles
  return roles.includes(role)
}
