//! Text in XML and HTML. Main function: [`escaped`].

/// A text as HTML and XML have it, between tags or in an attribute between double quotes.
pub fn escaped(text: &str) -> String {
    maud::html! { (text) }.into_string()
}
