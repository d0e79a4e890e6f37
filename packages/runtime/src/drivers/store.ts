export { openStore } from '@sealfleet/store'
