export { HsmPool } from '@sealfleet/hsm'
