export { type DomainInput, ensureDomain, getDomain, listDomains } from './domains.js'
export { getFleet, rememberTakenOver } from './fleet.js'
export { setDomain } from './set-domain.js'
