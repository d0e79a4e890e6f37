export { assertSignedDomain, domainDetail } from './signed-domain.js'
