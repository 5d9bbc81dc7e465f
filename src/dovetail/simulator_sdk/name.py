"""
Given and family names in many scripts, with companies and places of the same region.

Each name is written in its own script and in Latin letters: the Latin one makes the e-mail
address, and some systems only hold that spelling.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """
    Names, phone plan and cities of one region.

    `given` and `family` hold ``native|latin`` or one spelling for both. `phone` is a plan: ``#``
    stands for a digit, the country code comes first.
    """

    country: str
    phone: str
    given: tuple[str, ...]
    family: tuple[str, ...]
    cities: tuple[str, ...]
    streets: tuple[str, ...]
    domains: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


REGIONS: tuple[Region, ...] = (
    Region(
        "United States",
        "1 212 555 ####",
        _words("Ada, Robert, Elizabeth, James, Maya, Tyrone, Siobhán, Ana María, Jean-Luc, Liam"),
        _words("Byron, O'Brien, Johnson, García-López, Nguyen, McAllister, van der Berg, Smith"),
        _words("New York, Austin, San José, Portland"),
        _words("Main St, Market Street, 5th Avenue Apt 4B, Elm Rd."),
        _words("example.com, mail.example.com"),
    ),
    Region(
        "Deutschland",
        "49 30 ######",
        _words("Jürgen, Käthe, Björn, Anneliese, Götz, Zoë, Hans-Peter, Renate, Şebnem"),
        _words("Müller, Weiß, Schäfer, Großmann, von Hülsen, Jäger, Yıldız, Schröder"),  # noqa: RUF001 - the script's own letters
        _words("Köln, München, Düsseldorf, Berlin"),
        _words("Königstraße 12, Am Bühl 3a, Schloßallee 1, Hauptstr. 99"),
        _words("example.de, post.example.de"),
    ),
    Region(
        "France",
        "33 1 ## ## ## ##",
        _words("François, Hélène, Zoé, Benoît, Anaïs, Loïc, Cédric, Maëlle, Jérôme"),
        _words("Lefèvre, Châtelain, D'Amboise, Nuñez, Lœillet, Gauthier, de la Fère, Noël"),
        _words("Orléans, Besançon, Nîmes, Paris"),
        _words("12 rue de l'Église, 3 bis av. Foch, 45 allée des Érables, 8 place Bellecour"),
        _words("example.fr"),
    ),
    Region(
        "Polska",
        "48 22 ### ## ##",
        _words("Łukasz, Małgorzata, Zbigniew, Żaneta, Świętosława, Grzegorz, Agnieszka, Paweł"),
        _words("Wójcik, Dąbrowska, Szczęsny, Żółkiewski, Kaźmierczak, Brzęczyszczykiewicz, Łęcka"),
        _words("Łódź, Kraków, Gdańsk, Wrocław"),
        _words("ul. Świętokrzyska 5, al. Róż 2, os. Piastów 7/12, pl. Wolności 1"),
        _words("example.pl"),
    ),
    Region(
        "Україна",
        "380 44 ### ## ##",
        _words(
            "Олександр|Oleksandr, Марія|Mariia, Ґжегож|Gzhegozh, Їжакевич|Yizhak, Юрій|Yurii,"
            "Світлана|Svitlana, Катерина|Kateryna"
        ),
        _words(
            "Шевченко|Shevchenko, Коваль|Koval, Гриценко|Hrytsenko, Щербак|Shcherbak,"
            "Бондаренко|Bondarenko, Мельник|Melnyk"
        ),
        _words("Київ, Львів, Одеса, Харків"),
        _words("вул. Хрещатик 1, просп. Миру 22, вул. Б. Грінченка 4а"),  # noqa: RUF001 - the script's own letters
        _words("example.ua"),
    ),
    Region(
        "Ελλάδα",
        "30 210 ### ####",
        _words(
            "Γιώργος|Giorgos, Ελένη|Eleni, Δημήτρης|Dimitris, Άννα|Anna, Παναγιώτης|Panagiotis,"
            "Ζωή|Zoi"
        ),
        _words(
            "Παπαδόπουλος|Papadopoulos, Οικονόμου|Oikonomou, Νικολαΐδης|Nikolaidis,"
            "Αγγελόπουλος|Angelopoulos, Βασιλείου|Vasileiou"
        ),
        _words("Αθήνα, Θεσσαλονίκη, Πάτρα"),
        _words("Ερμού 14, Λεωφ. Κηφισίας 100, Πανεπιστημίου 3"),
        _words("example.gr"),
    ),
    Region(
        "مصر",
        "20 2 #### ####",
        _words(
            "محمد|Mohamed, فاطمة|Fatima, عبد الرحمن|Abdelrahman, نور|Nour, مريم|Mariam,خالد|Khaled"
        ),
        _words(
            "الحسيني|Elhusseini, مصطفى|Mostafa, عبد الله|Abdallah, الشريف|Elsherif,"
            "المصري|Elmasry, حسن|Hassan"
        ),
        _words("القاهرة, الإسكندرية, الجيزة"),
        _words("شارع التحرير 5, شارع النيل 12, ميدان طلعت حرب 1"),
        _words("example.eg"),
    ),
    Region(
        "ישראל",
        "972 3 ### ####",
        _words("דוד|David, נועה|Noa, יוסף|Yosef, שירה|Shira, אורי|Uri, תמר|Tamar"),
        _words("כהן|Cohen, לוי|Levi, בן-דוד|Ben-David, מזרחי|Mizrahi, פרידמן|Friedman"),
        _words("תל אביב, ירושלים, חיפה"),
        _words("רחוב הרצל 10, שדרות רוטשילד 2, דיזנגוף 99"),
        _words("example.co.il"),
    ),
    Region(
        "中国",
        "86 10 #### ####",
        _words("伟|Wei, 秀英|Xiuying, 磊|Lei, 静怡|Jingyi, 子涵|Zihan, 建国|Jianguo"),
        _words("王|Wang, 李|Li, 欧阳|Ouyang, 张|Zhang, 吕|Lü, 诸葛|Zhuge, 陈|Chen"),
        _words("北京, 上海, 深圳"),
        _words("长安街1号, 人民路88号, 中山北路 300 弄 2 号"),
        _words("example.cn"),
    ),
    Region(
        "日本",
        "81 3 #### ####",
        _words("太郎|Taro, さくら|Sakura, 健一|Kenichi, ひなた|Hinata, 翔|Sho, 美咲|Misaki"),
        _words(
            "佐藤|Sato, 髙橋|Takahashi, 渡邉|Watanabe, 小野寺|Onodera, 﨑山|Sakiyama, 林|Hayashi"
        ),
        _words("東京都, 大阪市, 札幌市"),
        _words("千代田区丸の内1-1, 北区梅田3丁目1番3号, 中央区大通西4"),
        _words("example.jp, mail.example.jp"),
    ),
    Region(
        "대한민국",
        "82 2 #### ####",
        _words("민준|Minjun, 서연|Seoyeon, 지우|Jiwoo, 현우|Hyunwoo, 하은|Haeun"),
        _words("김|Kim, 이|Lee, 박|Park, 최|Choi, 남궁|Namgung, 황보|Hwangbo"),
        _words("서울특별시, 부산광역시, 인천광역시"),
        _words("종로구 세종대로 175, 강남구 테헤란로 152"),
        _words("example.kr"),
    ),
    Region(
        "भारत",
        "91 22 #### ####",
        _words("आरव|Aarav, प्रिया|Priya, कृष्ण|Krishna, ज्योत्स्ना|Jyotsna, अर्जुन|Arjun"),
        _words("शर्मा|Sharma, पटेल|Patel, सिंह|Singh, चटर्जी|Chatterjee, अय्यर|Iyer"),
        _words("मुंबई, दिल्ली, बेंगलुरु"),
        _words("महात्मा गांधी मार्ग 7, लिंक रोड 12"),
        _words("example.in"),
    ),
    Region(
        "ประเทศไทย",
        "66 2 ### ####",
        _words("สมชาย|Somchai, ณัฐธิดา|Natthida, กิตติพงษ์|Kittipong, พิมพ์ชนก|Pimchanok"),
        _words("ใจดี|Jaidee, ศรีสุวรรณ|Srisuwan, วงศ์สว่าง|Wongsawang, ทองคำ|Thongkham"),
        _words("กรุงเทพมหานคร, เชียงใหม่, ภูเก็ต"),
        _words("ถนนสุขุมวิท 21, ซอยอารีย์ 4"),
        _words("example.th"),
    ),
    Region(
        "Việt Nam",
        "84 28 #### ####",
        _words("Thị Hồng, Văn Đức, Quỳnh Như, Thành Đạt, Mỹ Duyên"),
        _words("Nguyễn, Trần, Phạm, Đặng, Huỳnh, Võ"),
        _words("Hà Nội, Đà Nẵng, TP. Hồ Chí Minh"),
        _words("12 Lê Lợi, 45 Nguyễn Huệ, 7 Đường Trần Hưng Đạo"),
        _words("example.vn"),
    ),
)

COMPANIES: tuple[str, ...] = _words(
    "Acme Corp., Globex GmbH, Initech, Müller & Söhne KG, O'Neill Partners, Hooli, 株式会社さくら,"
    "Пекарня «Зірка», Société Générique SARL, Umbrella Ltd, Łódzkie Zakłady Sp. z o.o.,"
    "शर्मा ट्रेडर्स, شركة النيل, 华夏科技有限公司, 한빛전자, Wayne Enterprises, Stark & Co,"
    "Café Zoë, Widgets R Us, Αφοί Παπαδόπουλοι Α.Ε., 100% Natural Foods, C++ Consulting"  # noqa: RUF001 - the script's own letters
)

JOB_TITLES: tuple[str, ...] = _words(
    "CEO, Head of Sales, Vertriebsleiterin, Directeur général, Engineer, Buyer, 部長, Accountant,"
    "VP Marketing, Office Manager, Менеджер, Software Developer, Student"
)
