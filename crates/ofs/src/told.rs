//! What the records of an order say that its services have told, whether or not the log has it.

use fulfillment_worker::shipment;
use ofs_events::Event;
use ofs_runtime::context::Context;
use ofs_runtime::store::Record;
use order_service::order;
use payment_worker::payment;

/// The events of one order, each with the service and the record that say so, causes first.
pub fn told(
    order: Record,
    payment: Option<Record>,
    shipment: Option<Record>,
) -> Vec<(&'static str, Record, Event)> {
    let mut told = Vec::new();
    let Some(created) = order::published(&order) else { return told };
    told.push((order_service::NAME, order, created.clone()));
    let Some(payment) = payment else { return told };
    let context = Context::new(payment_worker::NAME);
    let Some(paid) = payment::published(&context, &payment, &created) else { return told };
    told.push((payment_worker::NAME, payment, paid.clone()));
    let Some(shipment) = shipment else { return told };
    let context = Context::new(fulfillment_worker::NAME);
    if let Some(scheduled) = shipment::published(&context, &shipment, &paid) {
        told.push((fulfillment_worker::NAME, shipment, scheduled));
    }
    told
}
