//! Encrypts its standard input for the subscription it is given (JSON), and writes the content of the push message: for who reads it with another library
//! (`e2e/python/test_webpush.py`).

use std::error::Error;
use std::io::{Read as _, Write as _};

use tertulia_push::webpush::{Subscription, encrypt};

fn main() -> Result<(), Box<dyn Error>> {
    let token = std::env::args().nth(1).ok_or("a subscription is wanted")?;
    let mut content = Vec::new();
    std::io::stdin().read_to_end(&mut content)?;
    let message = encrypt(&Subscription::read(&token, false)?, &content)?;
    Ok(std::io::stdout().write_all(&message)?)
}
