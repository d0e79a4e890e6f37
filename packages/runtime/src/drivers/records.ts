export { openRecords } from '@sealfleet/records'
