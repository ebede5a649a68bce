//! Data of the same shape as the real files, for machines that do not have them.

use crate::source::MemorySource;

/// Made-up inspections and orders: the five files `food_inspections.csv` and `northwind_*.csv` with the columns of the
/// real ones, `rows` inspections and `rows` orders, and all that makes CSV hard: quotes, line ends and delimiters in
/// cells, spaces at their ends, letters beyond ASCII and beyond 16 bits, null words, repeated item numbers. The same
/// seed gives the same bytes.
pub fn generated(seed: u64, rows: usize) -> MemorySource {
    let mut random = Random(seed);
    let customers = 3 + rows / 4;
    let products = 12 + rows / 8;
    let mut files = MemorySource::new();
    for (name, mut text) in [
        ("food_inspections.csv", inspections(&mut random, rows)),
        ("northwind_customers.csv", customer_rows(&mut random, customers)),
        ("northwind_products.csv", product_rows(&mut random, products)),
        ("northwind_orders.csv", order_rows(&mut random, rows, customers)),
        ("northwind_order_details.csv", line_rows(&mut random, rows, products)),
    ] {
        // The last line end may be missing.
        if random.below(2) == 0 {
            text.truncate(text.trim_end().len());
        }
        files = files.with(name, text);
    }
    files
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts.get(self.below(texts.len())).copied().unwrap_or_default()
    }

    /// A text of a few words, one in eight of them awkward.
    fn text(&mut self) -> String {
        const WORDS: [&str; 8] = ["WALK-IN", "cooler", "North", "52", "(B)", "door,", "Müller", "Kopenhagen"];
        const AWKWARD: [&str; 10] = [
            "\"quoted\"",
            "two\nlines",
            "two\r\nlines",
            "😀",
            "𝔄𝔅",
            "e\u{301}",
            "\u{feff}",
            "{x}",
            "- Comments:x",
            " ",
        ];
        let count = 1 + self.below(4);
        let words: Vec<&str> =
            (0..count).map(|_| if self.below(8) == 0 { self.pick(&AWKWARD) } else { self.pick(&WORDS) }).collect();
        words.join(" ")
    }

    /// A text, or now and then a word for null.
    fn text_or(&mut self, null: &str) -> String {
        if self.below(6) == 0 { null.to_owned() } else { self.text() }
    }

    /// A decimal number with this many digits after the point.
    fn decimal(&mut self, whole: usize, scale: usize) -> String {
        let digits: String = (0..scale).map(|_| char::from(b'0' + self.below(10) as u8)).collect();
        format!("{}.{digits}", self.below(whole))
    }

    fn day(&mut self, first_year: usize) -> (usize, usize, usize) {
        (first_year + self.below(4), 1 + self.below(12), 1 + self.below(28))
    }

    /// Rows as CSV; cells are also quoted where they need not be.
    fn csv(&mut self, header: &str, rows: Vec<Vec<String>>) -> String {
        let end = if self.below(2) == 0 { "\r\n" } else { "\n" };
        let mut out = format!("{header}{end}");
        for row in rows {
            let cells: Vec<String> = row
                .into_iter()
                .map(|cell| {
                    let plain = !cell.is_empty() && !cell.contains(['"', ',', '\r', '\n']);
                    if plain && self.below(8) > 0 { cell } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
                })
                .collect();
            out.push_str(&cells.join(","));
            out.push_str(end);
        }
        out
    }
}

fn inspections(random: &mut Random, rows: usize) -> String {
    const HEADER: &str = "ID,Date,DBA,Address,Latitude,Longitude,FacilityType,InspType,Risk,Results,Violations";
    const TYPES: [&str; 4] = ["Canvass", "License", "Canvass Re-Inspection", "Complaint"];
    const RISKS: [&str; 3] = ["Risk 1 (High)", "Risk 2 (Medium)", "Risk 3 (Low)"];
    const RESULTS: [&str; 6] = ["Pass", "Pass w/ Conditions", "Fail", "Out of Business", "No Entry", "Not Ready"];
    let row = |number: usize, random: &mut Random| {
        let (year, month, day) = random.day(2019);
        let (north, west) = (random.below(20), 10 + random.below(10));
        let (latitude, longitude) = (random.decimal(40, north), random.decimal(88, west.min(16)));
        vec![
            (2_365_000 + number).to_string(),
            format!("{month:02}/{day:02}/{year}"),
            random.text_or("NA"),
            random.text(),
            if north == 0 { "41".to_owned() } else { shorter(latitude) },
            format!("-{}", shorter(longitude)),
            random.text_or("NA"),
            random.pick(&TYPES).to_owned(),
            random.pick(&RISKS).to_owned(),
            random.pick(&RESULTS).to_owned(),
            if random.below(3) == 0 { "NA".to_owned() } else { violations(random) },
        ]
    };
    let rows = (0..rows).map(|number| row(number, random)).collect();
    random.csv(HEADER, rows)
}

/// A decimal number of at most 18 digits in all.
fn shorter(mut number: String) -> String {
    number.truncate(18);
    number
}

fn violations(random: &mut Random) -> String {
    const TITLES: [&str; 4] = [
        "ADEQUATE HANDWASHING SINKS PROPERLY SUPPLIED AND ACCESSIBLE",
        "FOOD & NON-FOOD CONTACT SURFACES CLEANABLE, PROPERLY DESIGNED, CONSTRUCTED & USED",
        "PHYSICAL FACILITIES INSTALLED, MAINTAINED & CLEAN",
        "NO. 3 - \"HOT\" WATER. PRESSURE",
    ];
    let count = 1 + random.below(7);
    let one = |_| {
        let number = 1 + random.below(5);
        let title = random.pick(&TITLES);
        match random.below(8) {
            0 => format!("{number}. {title}"),
            1 => format!("{number}. {title} - Comments:"),
            2 => format!("{number}. {title} - Comments: "),
            _ => {
                let tail = random.pick(&["", " ", " - Comments: again", "\n"]);
                format!("{number}. {title} - Comments: {}{tail}", random.text())
            }
        }
    };
    let all: Vec<String> = (0..count).map(one).collect();
    all.join(" | ")
}

fn customer_id(number: usize) -> String {
    format!("C{number:04}")
}

fn customer_rows(random: &mut Random, count: usize) -> String {
    const HEADER: &str =
        "customerID,companyName,contactName,contactTitle,address,city,region,postalCode,country,phone,fax";
    let row = |number: usize| {
        let mut row = vec![customer_id(number)];
        row.extend((1..11).map(|column| if column < 5 { random.text() } else { random.text_or("NULL") }));
        row
    };
    let rows = (0..count).map(row).collect();
    random.csv(HEADER, rows)
}

fn product_rows(random: &mut Random, count: usize) -> String {
    const HEADER: &str = "ProductID,ProductName,SupplierID,CategoryID,QuantityPerUnit,UnitPrice,UnitsInStock,\
        UnitsOnOrder,ReorderLevel,Discontinued";
    let row = |number: usize| {
        let mut row = vec![(number + 1).to_string(), random.text(), (1 + random.below(30)).to_string()];
        row.extend([(1 + random.below(8)).to_string(), random.text_or("NULL"), random.decimal(200, 2)]);
        row.extend((0..3).map(|_| random.below(130).to_string()));
        row.push(random.below(2).to_string());
        row
    };
    let rows = (0..count).map(row).collect();
    random.csv(HEADER, rows)
}

fn order_number(number: usize) -> String {
    (10_249 + number).to_string()
}

fn order_rows(random: &mut Random, count: usize, customers: usize) -> String {
    const HEADER: &str = "OrderID,CustomerID,EmployeeID,OrderDate,RequiredDate,ShippedDate,ShipVia,Freight";
    let row = |number: usize| {
        let mut date = |may_lack: bool| {
            let (year, month, day) = random.day(1996);
            let (hour, minute, milli) = (random.below(24), random.below(60), random.below(3) * 250);
            let date = format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:00.{milli:03}");
            if may_lack && random.below(4) == 0 { "NULL".to_owned() } else { date }
        };
        let dates = [date(false), date(false), date(true)];
        let mut row =
            vec![order_number(number), customer_id(random.below(customers)), (1 + random.below(9)).to_string()];
        row.extend(dates);
        row.extend([(1 + random.below(3)).to_string(), random.decimal(900, 2)]);
        row
    };
    let rows = (0..count).map(row).collect();
    random.csv(HEADER, rows)
}

/// One to six lines for each order, of different products; the lines of several orders are mixed.
fn line_rows(random: &mut Random, orders: usize, products: usize) -> String {
    let mut rows = Vec::new();
    for order in 0..orders {
        let (first, count) = (random.below(products), 1 + random.below(6));
        for line in 0..count {
            let product = (1 + (first + line) % products).to_string();
            let quantity = (1 + random.below(120)).to_string();
            let discount = random.pick(&["0", "0.05", "0.15", "0.2", "0.25"]).to_owned();
            rows.push(vec![order_number(order), product, random.decimal(260, 2), quantity, discount]);
            let (last, other) = (rows.len() - 1, rows.len() - 1 - random.below(rows.len().min(4)));
            rows.swap(last, other);
        }
    }
    random.csv("OrderID,ProductID,UnitPrice,Quantity,Discount", rows)
}
