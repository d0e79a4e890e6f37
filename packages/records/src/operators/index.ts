export { addSignature } from './add-signature.js'
export { type CanonicalObject, type CanonicalValue, canonicalJson, parseCanonicalJson } from './canonical-json.js'
export { assertUsedRequest, consumeRequest } from './consume-request.js'
export type { OperatorRow } from './operator-row.js'
export {
  FREE_OFFICERS,
  type NewOperator,
  addOperator,
  assertEnrollable,
  countOfficers,
  enrolmentDetail,
  getOperator,
  listOperators,
  revocationDetail,
  revokeOperator,
} from './operators.js'
export { PUBLIC_KEY_BYTES, assertPublicKey, rawPublicKey } from './public-key.js'
export { type RequestBody, bodyOfSignedBytes, parseRequestBody, requestBody, signedBytes } from './request-body.js'
export { type OperatorRole, REQUEST_KINDS } from './request-kinds.js'
export type { RequestRow } from './request-row.js'
export { type NewRequest, cancelRequest, createRequest, getRequest, listRequests } from './requests.js'
export { SIGNATURE_BYTES, signatureFits } from './signature.js'
export { usedRequestProblem } from './used-request.js'
